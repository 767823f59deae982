"""k-sparse variants in a grid: their cells' names, their settings, and what is wrong with them."""

from __future__ import annotations

import json

import pytest

from pipeline.jobs.json_files import canonical
from pipeline.study.cell import Cell
from pipeline.study.list_cells import main as list_cells
from pipeline.study.sections import CellNameError, ConfigError
from pipeline.study.specs import TrainSpec
from pipeline.study.study import Study
from pipeline.tools.list_targets import main as list_targets
from tests.helpers.made_studies import configuration
from tests.pipeline.study.test_recipes import faults

TOPK = {"variant": "topk", "expansion": 4, "ks": [8, 64]}
RELU = {"variant": "relu", "expansion": 4, "lambdas": [0.1]}
GATED = {"variant": "gated", "expansion": 4, "lambdas": [0.1]}


def raw(*grid: dict, **changes) -> dict:
    """A configuration of one model and one hookpoint, d = 64."""
    made = configuration(**changes)
    made["models"], made["hookpoints"] = made["models"][:1], ["resid"]
    return made | {"grid": list(grid), "comparisons": changes.get("comparisons", [])}


def test_cells_have_their_k_where_others_have_their_lambda():
    study = Study.from_dict(raw(TOPK, GATED))
    assert [cell.path for cell in study.cells] == [
        "small/resid/gated/w256_lam0.1_seed0",
        "small/resid/topk/w256_k8_seed0",
        "small/resid/topk/w256_k64_seed0",
    ]
    gated, topk, _ = study.cells
    assert (gated.lam, gated.k, gated.knob_name, gated.knob) == (0.1, None, "lam", 0.1)
    assert (topk.lam, topk.k, topk.knob_name, topk.knob) == (None, 8, "k", 8.0)
    for cell in study.cells:
        assert Cell.from_path(cell.path) == cell == study.cell_named(cell.path)
        assert Cell(**vars(cell)) == cell


def test_a_cell_has_one_of_both():
    names = {"model": "m", "hookpoint": "h", "variant": "v", "width": 8, "seed": 0}
    for both in ({}, {"lam": 0.1, "k": 3}):
        with pytest.raises(ValueError, match="one of lam and k"):
            Cell(**names, **both)


def test_a_specification_says_the_one_that_the_cell_has():
    study = Study.from_dict(raw(TOPK, GATED))
    gated, topk, _ = (json.loads(canonical(study.train_spec(cell))) for cell in study.cells)
    assert gated["cell"].keys() == {"model", "hookpoint", "variant", "width", "lam", "seed"}
    assert topk["cell"].keys() == {"model", "hookpoint", "variant", "width", "k", "seed"}
    recipe = study.train_spec(study.cells[1]).recipe
    assert (recipe.k, recipe.lam) == (8, 0.0)
    assert TrainSpec.model_validate(topk) == study.train_spec(study.cells[1])


def test_names_that_the_variant_cannot_have_are_told_another():
    study = Study.from_dict(raw(TOPK, GATED))
    with pytest.raises(CellNameError, match=r"topk has no lam; ask for .*topk/w256_k1_seed0$"):
        study.cell_named("small/resid/topk/w256_lam0.1_seed0")
    with pytest.raises(CellNameError, match=r"gated has no k; ask for .*gated/w256_lam0.1_seed0$"):
        study.cell_named("small/resid/gated/w256_k8_seed0")


def test_every_fault_of_ks_is_reported():
    grid = [
        TOPK | {"lambdas": [0.1]},
        {"variant": "topk", "expansion": 4},
        {"variant": "gated", "expansion": 4},
        GATED | {"ks": [3]},
        TOPK | {"ks": []},
        TOPK | {"ks": [0]},
    ]
    assert faults(raw(*grid)) == [
        "grid.0.lambdas: topk takes ks in their place",
        "grid.1.ks: give exactly one of ks, not empty",
        "grid.2.lambdas: give exactly one of lambdas, not empty",
        "grid.3.ks: gated takes lambdas in their place",
        "grid.4.ks: List should have at least 1 item after validation, not 0",
        "grid.5.ks.0: Input should be greater than 0 (given: 0)",
    ]


def test_more_active_latents_than_there_are():
    wide = raw(TOPK | {"ks": [8, 300]})
    assert faults(wide) == ["grid.0.ks.1: 300 active latents of 256: give fewer"]


def test_the_tools_list_cells_and_targets_by_their_k(tmp_path, capsys):
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps(raw(TOPK, GATED)))
    found = {}
    for k in ("*", "8", "6?", "?*", ""):
        list_cells(file, k=k)
        found[k] = [name.rpartition("/")[2] for name in capsys.readouterr().out.split()]
    assert found["8"] == ["w256_k8_seed0"]
    assert found["6?"] == ["w256_k64_seed0"]
    assert found["?*"] == ["w256_k8_seed0", "w256_k64_seed0"]
    assert found[""] == ["w256_lam0.1_seed0"]
    assert len(found["*"]) == 3
    list_targets(file)
    assert "w256_k8_seed0" in capsys.readouterr().out


# Recipes that give each variant settings of its own -----------------------------------------------


PAPER = {
    "training": {"learning_rate": 3e-4, "dead_window_tokens": 5000},
    "by_variant": {
        "topk": {"learning_rate": 1e-4, "lr_reference_width": 1024},
        "relu": {"decoder_norm": "free", "decoder_init_norm": 0.1},
    },
}


def named(*blocks: dict, recipe: str = "paper") -> list[dict]:
    return [block | {"recipes": [recipe]} for block in blocks]


def test_a_variant_has_its_own_settings_over_those_of_the_recipe():
    study = Study.from_dict(raw(*named(TOPK, RELU, GATED), recipes={"paper": PAPER}))
    of = {cell.variant: study.training(cell) for cell in study.cells}
    assert of["topk"].learning_rate == 1e-4
    assert of["relu"].learning_rate == of["gated"].learning_rate == 3e-4
    assert of["topk"].dead_window_tokens == 5000
    assert (of["relu"].decoder_norm, of["gated"].decoder_norm) == ("free", "unit")
    # A width of 256 has twice the rate of 1024.
    rates = {cell.variant: study.train_spec(cell).recipe.learning_rate for cell in study.cells}
    assert rates == pytest.approx({"topk": 2e-4, "relu": 3e-4, "gated": 3e-4})


def test_settings_that_mean_nothing_for_a_variant_are_not_in_its_specification():
    """So a change of AuxK trains no Gated SAE again."""
    recipes = {"paper": PAPER}
    study = Study.from_dict(raw(*named(TOPK, GATED), recipes=recipes))
    other = {"paper": PAPER | {"training": PAPER["training"] | {"dead_window_tokens": 7000}}}
    changed = Study.from_dict(raw(*named(TOPK, GATED), recipes=other))
    same = {
        cell.variant: canonical(study.train_spec(cell)) == canonical(changed.train_spec(cell))
        for cell in study.cells
    }
    assert same == {"gated": True, "topk": False}
    gated = next(cell for cell in study.cells if cell.variant == "gated")
    assert study.training(gated).dead_window_tokens == 1_000_000


def test_a_recipe_that_is_extended_gives_its_own_settings_by_variant():
    recipes = {"paper": PAPER, "long": {"extends": "paper", "training": {"tokens": 1638400}}}
    study = Study.from_dict(raw(*named(TOPK, recipe="long"), recipes=recipes))
    training = study.training(study.cells[0])
    assert (training.tokens, training.learning_rate) == (1638400, 1e-4)
    over = recipes["long"] | {"training": {"learning_rate": 0.5}}
    study = Study.from_dict(raw(*named(TOPK, recipe="long"), recipes=recipes | {"long": over}))
    assert study.training(study.cells[0]).learning_rate == 0.5  # what extends it comes later


def test_its_levels_say_that_it_depends_on_the_variant():
    spec = Study.from_dict(raw(*named(TOPK, RELU), recipes={"paper": PAPER})).scope.model_dump()
    assert spec["levels"][""]["learning_rate"] == "0.001"
    assert spec["levels"]["paper"]["learning_rate"] == "by variant"
    assert spec["levels"]["paper"]["dead_window_tokens"] == "5000"
    assert spec["recipes"]["paper"]["by_variant"] == PAPER["by_variant"]


def test_faults_of_settings_by_variant():
    recipes = {
        "one": {
            "variants": ["topk"],
            "training": {"learning_rate": 0.1, "bandwidth": 0.1},
            "by_variant": {"relu": {"beta1": 0.5}, "topk": {"theta_init": 2}},
        },
    }
    assert faults(raw(*named(TOPK, recipe="one"), recipes=recipes)) == [
        "recipes.one.training.bandwidth: means nothing for topk; leave it out",
        "recipes.one.by_variant.relu: the recipe does not concern it: add it to variants",
        "recipes.one.by_variant.topk.theta_init: means nothing for topk; leave it out",
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"topk": {"learnig_rate": 1}}, "recipes.one.by_variant.topk.learnig_rate"),
        ({"topkk": {"beta1": 0.5}}, "recipes.one.by_variant.topkk"),
        ({"topk": {"decoder_init_norm": 0.1}}, "recipes.one.by_variant.topk.decoder_init_norm"),
        ({"topk": {"beta1": 0.5}, "relu": {"beta1": 2}}, "recipes.one.by_variant.relu.beta1"),
    ],
)
def test_settings_that_cannot_be_are_named_with_their_place(changed, message):
    given = raw(*named(TOPK, RELU, recipe="one"), recipes={"one": {"by_variant": changed}})
    assert any(fault.startswith(message) for fault in faults(given))


def test_settings_of_section_training_that_nobody_uses_are_a_fault():
    given = raw(TOPK)
    given["training"] |= {"theta_init": 2.0, "level_reduction": "mean"}
    assert faults(given) == [
        "training.level_reduction: means nothing for topk; leave it out",
        "training.theta_init: means nothing for topk; leave it out",
    ]
    Study.from_dict(
        given
        | {
            "grid": [
                TOPK,
                GATED | {"variant": "matryoshka_batchtopk"} | {"lambdas": None, "ks": [3]},
                GATED,
            ]
        }
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matryoshka_levels": [0.5, 0.25, 1]}, "matryoshka_levels"),
        ({"matryoshka_levels": [0.5]}, "matryoshka_levels"),
        ({"threshold_parameter": "log", "threshold_init": 0}, "threshold_init"),
        ({"decoder_init_norm": 0.5}, "decoder_init_norm"),
    ],
)
def test_settings_that_do_not_fit_each_other(changes, message):
    given = raw(RELU | {"variant": "jumprelu"}, TOPK | {"variant": "matryoshka_batchtopk"}, RELU)
    given["training"] |= changes
    assert [fault.partition(":")[0] for fault in faults(given)] == [f"training.{message}"]


def test_a_k_is_held_against_the_widths_of_its_own_block():
    raw = configuration()
    block = {"variant": "topk", "expansion": 1, "ks": [80], "models": ["large"]}
    assert Study.from_dict(raw | {"grid": [*raw["grid"], block]}), "small has 64 dimensions"
    with pytest.raises(ConfigError, match="80 active latents of 64"):
        Study.from_dict(raw | {"grid": [*raw["grid"], block | {"models": None}]})
