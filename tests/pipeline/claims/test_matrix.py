"""Claims under several settings: what each verdict hangs on, and what tells the verdicts apart."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from pipeline.claims import matrix_text
from pipeline.claims.page import claims
from pipeline.claims.verdicts import FAILS, HOLDS, OPEN
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.settings import Factor, Setting
from pipeline.text.csv_files import read_table
from tests.pipeline.conftest import MadeStudy
from tests.pipeline.made_settings import made_settings, settings_configuration

NARROW, WIDE = "2d vs 4d", "8d vs 16d"


def judged(made: MadeStudy) -> tuple[ComparisonSpec, pd.DataFrame, pd.DataFrame]:
    """Spec, claims.csv and claims_matrix.csv of a made-up study."""
    made.tables()
    made.claims()
    tables = made.root / "tables"
    spec = ComparisonSpec.argument(json.dumps(made.spec))
    return spec, read_table(tables / "claims.csv"), read_table(tables / "claims_matrix.csv")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> MadeStudy:
    return made_settings(tmp_path_factory.mktemp("matrix"))


@pytest.fixture(scope="module")
def study(made):
    return judged(made)


def of(table: pd.DataFrame, key: str, column: str = "outcome") -> list[str]:
    """One column of a claim, setting by setting."""
    return table.loc[table["claim"] == key, column].tolist()


class TestVerdicts:
    def test_each_setting_is_judged_by_its_own_comparison(self, study):
        spec, table, _ = study
        assert len(table) == len(spec.settings) * len(claims())
        assert list(table.columns[:3]) == ["recipe", "widths", "claim"]
        first = table.drop_duplicates(["recipe", "widths"])
        names = [(setting.recipe, setting.widths) for setting in spec.settings]
        assert list(zip(first["recipe"], first["widths"], strict=True)) == names
        mean = [HOLDS] * 3 + [FAILS] * 4
        assert of(table, "dominance") == mean
        assert of(table, "rest_within") == [OPEN] * 3 + [FAILS] * 4
        wide = [HOLDS if name == WIDE else OPEN for _, name in names]
        assert of(table, "dead_matched") == [OPEN] * 3 + wide[3:]  # a quarter dead is no room
        shown = of(table, "dead_matched", "here")
        assert "Gated has 0.250 dead" in shown[3]
        assert "Gated has 0.500 dead" in shown[4]

    def test_sweeps_without_a_shared_lambda_are_judged_at_equal_l0(self, tmp_path):
        raw = settings_configuration(tmp_path)
        for entry in raw["grid"]:
            if entry["variant"] == "gated":
                entry["lambdas"] = [0.06, 0.11, 0.2]
        _, table, _ = judged(made_settings(tmp_path, grid=raw["grid"]))
        assert of(table, "dead_mlp")[4] == HOLDS
        here = of(table, "dead_mlp", "here")[4]
        assert "(0 of 36 points floored; no dead latents on either side at 0 lambdas or" in here
        assert here.endswith(
            "at equal L0 256x to 384x, which decides at large mlp_out, small mlp_out, where the "
            "sweeps share no lambda"
        )


class TestHanging:
    def test_a_verdict_hangs_on_the_factor_whose_other_level_turns_it(self, study):
        _, _, table = study
        assert of(table, "dominance", "hangs_on") == [*["b_dec_init"] * 6, ""]
        assert set(of(table, "rest_within", "hangs_on")) == {""}  # from open to failed is no turn

    def test_settings_of_other_places_are_compared_where_both_have_cells(self, tmp_path):
        """Under recipe zero the candidate loses at resid alone; zero-fast has cells at mlp_out
        alone, and loses there. At mlp_out, zero wins like the default recipe."""
        raw = settings_configuration(tmp_path)
        raw["grid"] = raw["grid"][:2]
        for entry in raw["grid"]:
            entry["recipes"] = ["default", "zero"]
            entry["seeds"] = [0]
        only = [
            {**entry, "recipes": ["zero-fast"], "hookpoints": ["mlp_out"]} for entry in raw["grid"]
        ]
        made = made_settings(tmp_path, grid=[*raw["grid"], *only])
        for cell in made.spec["cells"]:
            if "/mlp_out/sagsae_tied@zero/" in cell:
                made.change(cell, r2=0.9)
        spec, table, found = judged(made)
        assert [setting.recipe for setting in spec.settings] == ["", "zero", "zero-fast"]
        assert of(table, "dominance") == [HOLDS, HOLDS, FAILS]
        assert of(found, "dominance", "hangs_on") == ["", "learning_rate", "learning_rate"]
        # rest_within: fails under zero by resid; at mlp_out, which both have, nothing is left.
        assert of(table, "rest_within") == [OPEN, FAILS, FAILS]
        assert of(found, "rest_within", "hangs_on") == ["", "", ""]


def levels(settings: list[Setting], **factors: str) -> list[Factor]:
    """Factors whose level under each setting is a letter."""
    return [
        Factor(name, dict(zip(settings, letters, strict=True))) for name, letters in factors.items()
    ]


FOUR = [Setting(name) for name in "pqrs"]


class Spec:
    """What a sentence needs of a study."""

    settings, several, several_widths = FOUR, True, False
    factors = levels(FOUR, x="aabb", y="cdcd")


class TestPage:
    def test_the_matrix_has_a_row_per_claim_and_a_column_per_setting(self, study):
        spec, _, table = study
        grid = matrix_text.verdict_grid(table, spec)
        assert grid.columns == ("No.", "Claim", *"1234567", "Under all settings")
        assert len(grid.rows) == len(claims())
        first = grid.rows[0]
        assert first[0] == "1"
        assert first[1].startswith("Half-width SA-GSAE strictly dominates")
        assert first[2:5] == ("+ b", "+ b", "+ b")
        assert first[-1] == "Holds under 3 of 7 settings: those with b_dec_init mean."
        assert [row[8] for row in grid.rows[:8]] == list("−−−−++++")
