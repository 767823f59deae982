"""Which curves are drawn, and of which cells none is waited for."""

from __future__ import annotations

from pathlib import Path

from pipeline.study.curve_files import (
    curve_figures,
    curves_of,
    drawn_cells,
    figures_with_curves,
)
from pipeline.study.study import Study
from tests.pipeline.made_curves import make_curve
from tests.pipeline.made_grid import LAMBDAS, configuration, make_grid

RECIPES = {
    "recipes": {
        "zero": {"training": {"b_dec_init": "zero"}},
        "matched": {"extends": "zero", "variants": ["gated"], "training": {"gate_init": "matched"}},
    },
    "hookpoints": ["resid"],
    "grid": [
        {"variant": "sagsae_tied", "expansion": 2, "lambdas": LAMBDAS, "recipes": ["zero"]},
        {"variant": "gated", "expansion": 4, "lambdas": LAMBDAS, "recipes": ["zero", "matched"]},
    ],
}


def test_the_main_comparison_is_drawn_with_its_lowest_seed():
    study = Study.from_dict(configuration())
    cells = drawn_cells(study)
    assert {(cell.variant, cell.width // study.models[cell.model].d_model) for cell in cells} == {
        ("sagsae_tied", 2),
        ("gated", 4),
    }
    assert {cell.seed for cell in cells} == {0}
    assert len(cells) == 2 * 3 * 2 * len(LAMBDAS)


def test_without_a_comparison_every_sweep_is():
    study = Study.from_dict(configuration(comparisons=[]))
    assert len(drawn_cells(study)) == len({(cell.sweep, cell.lam) for cell in study.cells})


def test_cells_of_other_libraries_have_no_curve():
    foreign = {
        "variant": "foreign-one",
        "width": 512,
        "lambdas": [1],
        "models": ["small"],
        "hookpoints": ["resid"],
        "source": {"kind": "saelens", "path": "/nowhere"},
    }
    grid = [*configuration()["grid"], foreign]
    study = Study.from_dict(configuration(comparisons=[], grid=grid))
    assert len(study.foreign) == 1
    assert not {cell.variant for cell in drawn_cells(study)} & {"foreign-one"}


def test_a_curve_is_there_or_will_be(tmp_path):
    study = make_grid(tmp_path, hookpoints=["resid"])
    root = Path(study.cells_root)
    assert curves_of(study, "") == []
    there = make_curve(root, drawn_cells(study)[0])
    assert curves_of(study, "") == [str(there)]
    untrained = drawn_cells(study)[-1]
    Path(study.metrics(untrained)).unlink()
    assert curves_of(study, "") == [
        str(there),
        study.cell_file(untrained, "curve.parquet"),
    ]


def test_each_recipe_has_a_figure_of_the_cells_that_stand_under_it():
    study = Study.from_dict(configuration(**RECIPES))
    assert curve_figures(study) == {
        "figure_curves@matched": "matched",
        "figure_curves@zero": "zero",
    }
    found = {
        recipe: {path.split("/")[-3] for path in curves_of(study, recipe)}
        for recipe in ("matched", "zero")
    }
    assert found == {
        "matched": {"gated@matched", "sagsae_tied@zero"},
        "zero": {"gated@zero", "sagsae_tied@zero"},
    }


def test_one_recipe_has_one_figure():
    assert curve_figures(Study.from_dict(configuration())) == {"figure_curves": ""}


def test_a_recipe_that_trains_neither_side_has_no_figure_of_curves_in_the_whole_study():
    rate = {"variants": ["topk"], "training": {"learning_rate": 1e-5}}
    own = {"own": {"extends": "matched"} | rate}
    topk = {"variant": "topk", "expansion": 4, "ks": [2, 4], "recipes": ["own"]}
    recipes, grid = RECIPES["recipes"] | own, [*RECIPES["grid"], topk]
    study = Study.from_dict(configuration(**RECIPES | {"recipes": recipes, "grid": grid}))
    assert curves_of(study, "own") == curves_of(study, "matched") != []
    assert figures_with_curves(study) == ["figure_curves@matched", "figure_curves@zero"]


def test_of_many_recipes_the_whole_study_draws_the_curves_of_the_first():
    few = Study.from_dict(configuration(**RECIPES))
    assert figures_with_curves(few) == [*curve_figures(few)]
    more = {f"rate{i}": {"training": {"learning_rate": i * 1e-5}} for i in (1, 2)}
    grid = [*RECIPES["grid"], {**RECIPES["grid"][1], "recipes": [*more]}]
    recipes = RECIPES["recipes"] | more
    many = Study.from_dict(configuration(**RECIPES | {"recipes": recipes, "grid": grid}))
    assert len(curve_figures(many)) == 4
    assert figures_with_curves(many) == ["figure_curves@matched"]
