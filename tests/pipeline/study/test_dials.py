"""Where a study steers with latents, and which cells each job may take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config.spelling import CellNameError
from pipeline.config.study_config import ConfigError
from pipeline.jobs.json_files import digest, json_argument
from pipeline.study.specs import DialSpec
from pipeline.study.study import Study
from tests.pipeline.made_grid import LAMBDAS, configuration


def study(dial: dict[str, Any] | None = None, **changes: Any) -> Study:
    asked = {} if dial is None else {"dial": dial}
    return Study.from_dict(configuration(results="results") | asked | changes)


def test_a_study_that_does_not_ask_has_none_and_is_the_same_as_ever():
    plain, off = study(), study({"latents": 0})
    assert plain.dials == off.dials == {}
    assert plain.dial_tables == off.dial_tables == ()
    assert plain.scope == off.scope == study().report_spec()
    assert "dial" not in plain.config.model_dump()
    assert not any("dial" in name for name in plain.figures)
    assert "dial" not in plain.scope


def test_each_place_is_steered_with_both_sides_of_the_first_comparison():
    asked = study({})
    assert len(asked.dials) == 2 * 3
    file = "results/made-grid/dial/large/resid/seed0.json"
    spec = asked.dials[file]
    assert asked.dial_spec(file) is spec
    assert (spec.model, spec.hookpoint, spec.recipe, spec.seed) == ("large", "resid", "", 0)
    assert {(c.variant, c.width) for c in spec.candidate} == {("sagsae_tied", 192)}
    assert {(c.variant, c.width) for c in spec.baseline} == {("gated", 384)}
    assert len(spec.candidate) == len(spec.baseline) == 3 * len(LAMBDAS)
    assert {(c.lam, c.seed) for c in spec.may_steer} == {(lam, 0) for lam in LAMBDAS}
    assert len(spec.may_steer) == 2 * len(LAMBDAS)
    assert spec.level == 64
    assert spec.losses == digest(asked.baseline_spec("large"))
    assert asked.scope["dial"] is True
    assert asked.figures[-2:] == ("figure_dial", "figure_dial_kl")
    assert len(asked.dial_tables) == 4


WIDER = {
    "candidate": {"variant": "sagsae_tied", "expansion": 2},
    "baseline": {"variant": "gated", "expansion": 8},
    "matched_l0": [32],
}
"""Another comparison, for a baseline that the grid lacks."""


def test_other_comparisons_steer_under_names_of_their_own():
    first, *_ = configuration()["comparisons"]
    one = study({"models": ["small"]}, comparisons=[first, WIDER])
    two = study({"models": ["small"], "comparisons": 2}, comparisons=[first, WIDER])
    folder = "results/made-grid/dial/small"
    assert list(two.dials)[:3] == [
        f"{folder}/mlp_out/seed0.json",
        f"{folder}/mlp_out/seed0_comparison2.json",
        f"{folder}/attn/seed0.json",
    ]
    assert {file: digest(spec) for file, spec in one.dials.items()} == {
        file: digest(spec) for file, spec in two.dials.items() if spec.comparison == 1
    }
    other = two.dials[f"{folder}/attn/seed0_comparison2.json"]
    assert (other.level, other.baseline) == (32, [])
    assert {cell.variant for cell in other.candidate} == {"sagsae_tied"}


def test_more_comparisons_than_there_are_is_a_fault():
    with pytest.raises(ConfigError, match=r"dial.comparisons: 9, and comparisons has \d: lower it"):
        study({"comparisons": 9})


def test_models_hookpoints_and_seeds_can_be_chosen():
    asked = study({"models": ["small"], "hookpoints": ["attn", "resid"], "seeds": 2})
    places = [(one.model, one.hookpoint, one.seed) for one in asked.dials.values()]
    assert places == [("small", h, s) for h in ("attn", "resid") for s in (0, 1)]
    many = study({"models": ["small"], "hookpoints": ["attn"], "seeds": 9})
    assert [one.seed for one in many.dials.values()] == [0, 1, 2]


def test_a_job_depends_on_its_own_settings_alone():
    one, other = study({}), study({"seeds": 3, "models": ["small"]})
    file = "results/made-grid/dial/small/attn/seed0.json"
    assert digest(one.dials[file]) == digest(other.dials[file])
    assert digest(one.dials[file]) != digest(study({"tokens": 9}).dials[file])
    cell = one.cells[0]
    assert one.evaluate_spec(cell) == study().evaluate_spec(cell)
    assert digest(one.scope) == digest(study().comparison_spec())


def grid(candidate: dict[str, Any], baseline: dict[str, Any]) -> dict[str, Any]:
    return {
        "grid": [
            {"variant": "sagsae_tied", "expansion": 2} | candidate,
            {"variant": "gated", "expansion": 4} | baseline,
        ],
        "hookpoints": ["resid"],
    }


def test_a_seed_that_one_side_lacks_is_replaced_by_its_lowest():
    asked = study(
        {"models": ["small"], "seeds": 2},
        **grid({"lambdas": [0.1, 0.2], "seeds": [3, 5]}, {"lambdas": [0.1], "seeds": [4, 2]}),
    )
    first, second = asked.dials.values()
    assert (first.seed, second.seed) == (3, 5)
    assert [(c.variant, c.lam, c.seed) for c in second.may_steer] == [
        ("sagsae_tied", 0.1, 5),
        ("sagsae_tied", 0.2, 5),
        ("gated", 0.1, 2),
    ]


def test_lambdas_that_lack_the_seed_are_left_out_and_means_are_over_all_seeds():
    sides = grid({"lambdas": [0.1], "seeds": [0, 1]}, {"lambdas": [0.1]})
    sides["grid"].append({"variant": "sagsae_tied", "expansion": 2, "lambdas": [0.2], "seeds": [1]})
    spec = next(iter(study({"models": ["small"]}, **sides).dials.values()))
    assert [(c.lam, c.seed) for c in spec.candidate] == [(0.1, 0), (0.1, 1)]
    assert list(spec.of_seed(spec.candidate)) == [0.1]


def test_a_place_without_the_baseline_is_steered_and_one_without_the_candidate_is_not():
    sides = grid({"lambdas": [0.1]}, {"lambdas": [0.1], "models": ["large"]})
    places = {one.model: len(one.baseline) for one in study({}, **sides).dials.values()}
    assert places == {"small": 0, "large": 1}
    sides = grid({"lambdas": [0.1], "models": ["large"]}, {"lambdas": [0.1]})
    assert [one.model for one in study({}, **sides).dials.values()] == ["large"]


def test_recipes_have_jobs_and_figures_of_their_own():
    sides = grid(
        {"lambdas": [0.1], "recipes": ["default", "zero"]},
        {"lambdas": [0.1], "recipes": ["default", "zero", "matched"]},
    )
    recipes = {
        "zero": {"training": {"b_dec_init": "zero"}},
        "matched": {
            "extends": "zero",
            "variants": ["gated"],
            "training": {"gate_init": "matched"},
        },
    }
    asked = study({"models": ["small"]}, recipes=recipes, **sides)
    sources = {
        file.removeprefix("results/made-grid/dial/small/"): (
            one.candidate[0].recipe,
            one.baseline[0].recipe,
        )
        for file, one in asked.dials.items()
    }
    assert sources == {
        "resid/seed0.json": ("", ""),
        "resid@matched/seed0.json": ("zero", "matched"),
        "resid@zero/seed0.json": ("zero", "zero"),
    }
    for chosen in (["default"], ["zero", "matched"]):
        found = study({"models": ["small"], "recipes": chosen}, recipes=recipes, **sides).dials
        named = {one.recipe or "default" for one in found.values()}
        assert named == set(chosen)
    dialled = [name for name in asked.figures if "dial" in name]
    assert dialled[::2] == ["figure_dial", "figure_dial@matched", "figure_dial@zero"]
    assert dialled[1::2] == ["figure_dial_kl", "figure_dial_kl@matched", "figure_dial_kl@zero"]


def test_a_recipe_of_neither_side_steers_no_cell_again():
    """Its sides are the cells of another recipe, where they are steered with already."""
    sides = grid({"lambdas": [0.1]}, {"lambdas": [0.1]})
    shut = {"variants": ["sagsae_onesided"], "training": {"theta_init": 2.0}}
    sides["grid"].append(
        {"variant": "sagsae_onesided", "expansion": 4, "lambdas": [0.1]}
        | {"recipes": ["default", "shut"]}
    )
    asked = study({"models": ["small"]}, recipes={"shut": shut}, **sides)
    assert [one.recipe for one in asked.dials.values()] == [""]
    assert [name for name in asked.figures if "dial" in name] == ["figure_dial", "figure_dial_kl"]


def test_a_specification_is_read_back_from_its_file(tmp_path):
    asked = study({"alphas": [0.5, 1]})
    asked.write_shared_specs(tmp_path)
    for spec in asked.dials.values():
        file = tmp_path / asked.shared_spec("dial", digest(spec))
        assert DialSpec.argument(f"@{file}") == spec.model_copy(
            update={"dial": DialSpec.argument(f"@{file}").dial}
        )
        assert digest(DialSpec.argument(f"@{file}")) == digest(spec)
    assert "seeds" not in json_argument(f"@{file}")["dial"]
    assert len(list((tmp_path / "results/made-grid/specs").glob("dial-*"))) == 6


def test_a_file_of_no_job_lists_those_there_are():
    with pytest.raises(CellNameError, match=r"x\.json: this study does not steer there; .*seed0"):
        study({"models": ["small"]}).dial_spec("x.json")
    with pytest.raises(CellNameError, match="see section dial"):
        study().dial_spec("x.json")


@pytest.mark.parametrize(
    ("dial", "changes", "message"),
    [
        ({"contexts": 65}, {}, r"dial\.contexts: 65 are more than evaluation\.lr_contexts"),
        ({"contexts": 3}, {}, r"dial\.contexts: .*greater than or equal to 4"),
        ({"models": ["gpt5"]}, {}, r"dial\.models\.0: unknown 'gpt5'; known are small, large"),
        ({"hookpoints": ["attn", "x"]}, {}, r"dial\.hookpoints\.1: unknown 'x'"),
        ({"recipes": ["x"]}, {}, r"dial\.recipes\.0: unknown 'x'; known are default"),
        ({"alphas": [1, 0.5]}, {}, r"dial\.alphas: .*does not ascend"),
        ({"alphas": [0.5, 0.5]}, {}, r"dial\.alphas: .*does not ascend"),
        ({"alphas": []}, {}, r"dial\.alphas: .*at least 1"),
        ({"random": 0}, {}, r"dial\.random: .*greater than 0"),
        ({}, {"comparisons": []}, "comparisons: empty, and section dial"),
    ],
)
def test_faults_name_the_field(dial, changes, message):
    with pytest.raises(ConfigError, match=message):
        study(dial, **changes)


def test_steering_that_is_switched_off_needs_no_comparison():
    assert study({"latents": 0}, comparisons=[]).dials == {}


def test_the_shipped_studies_steer_where_they_say():
    configs = Path(__file__).parents[3] / "workflow" / "configs"
    assert len(Study.load(configs / "paper.yaml").dials) >= 3 * 6
    counts = {
        name: len(Study.load(configs / f"{name}.yaml").dials)
        for name in ("local", "smoke", "reference", "reference-deep")
    }
    assert counts == {"local": 1, "smoke": 6, "reference": 0, "reference-deep": 12}
