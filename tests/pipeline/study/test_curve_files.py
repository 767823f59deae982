"""Which curves are drawn, and of which cells none is waited for."""

from __future__ import annotations

from pathlib import Path

from pipeline.study.curve_files import (
    curve_figures,
    curves_of,
    drawn_cells,
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
