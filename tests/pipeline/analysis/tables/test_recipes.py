"""Several recipes in one study: no table, page or figure mixes the cells of two."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.analysis.csv_files import read_table
from pipeline.study.cell import Cell
from pipeline.study.recipes import levels_of
from pipeline.study.study import Study
from tests.pipeline.conftest import MadeStudy, metrics_of, write_metrics
from tests.pipeline.made_grid import configuration

LAMBDAS = (0.05, 0.1, 0.2)
LEAD = {"": 0.05, "zero-bias": -0.03, "matched": -0.06}
"""R2 of the candidate minus the baseline, by recipe. Without recipes apart, a frontier through the
points of two would have a gap of neither."""


def study_of(results: Path) -> Study:
    """Gated and SA-GSAE under two recipes, and Gated alone under a third."""
    raw = configuration(
        results=str(results),
        recipes={
            "zero-bias": {"note": "No <mean>.", "training": {"beta1": 0.5}},
            "matched": {
                "extends": "zero-bias",
                "variants": ["gated"],
                "factors": {"gate": "matched"},
                "training": {"beta2": 0.9},
            },
        },
    )
    raw["hookpoints"] = ["mlp_out", "resid"]
    shared = {"lambdas": list(LAMBDAS), "recipes": ["default", "zero-bias"]}
    raw["grid"] = [
        {"variant": "gated", "expansion": 4, **shared},
        {"variant": "sagsae_tied", "expansion": 2, **shared},
        {"variant": "sagsae_tied", "expansion": 4, **shared},
        {"variant": "gated", "expansion": 4, "lambdas": list(LAMBDAS), "hookpoints": ["resid"]}
        | {"recipes": ["matched"], "models": ["small"]},
    ]
    return Study.from_dict(raw)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> MadeStudy:
    """The study with its tables."""

    def result(cell: Cell, d_model: int) -> dict[str, Any]:
        l0 = 4 / cell.lam * (1 if cell.variant == "gated" else 1.1)
        r2 = 0.5 + 0.1 * math.log(l0 / 20) - (LEAD[cell.recipe] if cell.variant == "gated" else 0)
        return metrics_of(cell, d_model, l0=l0, r2=r2, dead=1)

    study = study_of(tmp_path_factory.mktemp("recipes"))
    write_metrics(study, result)
    made = MadeStudy(Path(study.root), study.scope.model_dump())
    made.tables()
    return made


def test_a_comparison_is_made_under_each_recipe_and_mixes_none(made):
    table = read_table(made.root / "tables" / "comparison.csv")
    assert list(table.groupby("recipe", sort=False).size().items()) == [
        ("", 4),
        ("matched", 1),
        ("zero-bias", 4),
    ]
    for recipe, rows in table.groupby("recipe"):
        assert rows["mean_gap"].tolist() == pytest.approx([LEAD[recipe]] * len(rows))
        assert rows["dominates"].tolist() == [recipe == ""] * len(rows)
        assert rows["overlap_lo"].tolist() == pytest.approx([22] * len(rows))
    matched = table[table["recipe"] == "matched"].iloc[0]
    assert (matched["model"], matched["hookpoint"]) == ("small", "resid")
    assert matched["candidate_seeds"] == 1  # of the recipe that it extends


def test_levels_follow_from_the_settings_and_from_what_recipes_say(tmp_path):
    assert levels_of(study_of(tmp_path).config) == {
        "": {"beta1": "0", "beta2": "0.999"},
        "zero-bias": {"beta1": "0.5", "beta2": "0.999"},
        "matched": {"beta1": "0.5", "beta2": "0.9", "gate": "matched"},
    }
