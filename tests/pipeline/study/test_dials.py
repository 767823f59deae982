"""Where a study steers with latents, and which cells each job may take."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.jobs.json_files import digest
from pipeline.study.sections import ConfigError
from pipeline.study.study import Study
from tests.pipeline.made_grid import LAMBDAS, configuration


def study(dial: dict[str, Any] | None = None, **changes: Any) -> Study:
    asked = {} if dial is None else {"dial": dial}
    return Study.from_dict(configuration(results="results") | asked | changes)


def test_each_place_is_steered_with_both_sides_of_the_first_comparison():
    asked = study({})
    assert len(asked.dials) == 2 * 3
    file = "results/made-grid/dial/large/resid/seed0.json"
    spec = asked.dials[file]
    assert asked.look_spec(file) is spec
    assert (spec.model, spec.hookpoint, spec.recipe, spec.seed) == ("large", "resid", "", 0)
    assert {(c.variant, c.width) for c in spec.candidate} == {("sagsae_tied", 192)}
    assert {(c.variant, c.width) for c in spec.baseline} == {("gated", 384)}
    assert len(spec.candidate) == len(spec.baseline) == 3 * len(LAMBDAS)
    assert {(c.lam, c.seed) for c in spec.weights_of} == {(lam, 0) for lam in LAMBDAS}
    assert len(spec.weights_of) == 2 * len(LAMBDAS)
    assert spec.level == 64
    assert spec.losses == digest(asked.baseline_spec("large"))
    names = [
        f"{model}/{place}/seed0"
        for model in ("large", "small")
        for place in ("mlp_out", "attn", "resid")
    ]
    assert list(asked.scope.jobs("dial")) == names


def test_a_job_depends_on_its_own_settings_alone():
    one, other = study({}), study({"seeds": 3, "models": ["small"]})
    file = "results/made-grid/dial/small/attn/seed0.json"
    assert digest(one.dials[file]) == digest(other.dials[file])
    assert digest(one.dials[file]) != digest(study({"random": 9}).dials[file])
    cell = one.cells[0]
    assert one.evaluate_spec(cell) == study().evaluate_spec(cell)
    assert one.compared == study().compared


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
    assert [(c.variant, c.lam, c.seed) for c in second.weights_of] == [
        ("sagsae_tied", 0.1, 5),
        ("sagsae_tied", 0.2, 5),
        ("gated", 0.1, 2),
    ]


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
