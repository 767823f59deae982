"""Claims under several settings: what each verdict hangs on, and what tells the verdicts apart."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.claims.claim import FAILS, HOLDS, OPEN
from pipeline.claims.evidence import Evidence
from pipeline.claims.sa_gsae import CLAIMS
from pipeline.study.scope import Scope
from tests.helpers.made_studies import made_settings, settings_configuration
from tests.helpers.made_study import MadeStudy

WIDE = "8d vs 16d"


def judged(made: MadeStudy) -> tuple[Scope, pd.DataFrame, pd.DataFrame]:
    """Spec, claims.csv and claims_matrix.csv of a made-up study."""
    made.tables()
    made.make("claims")
    return made.scope, made.table("claims"), made.table("claims_matrix")


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
        assert len(table) == len(spec.settings) * len(CLAIMS)
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

    def test_evidence_under_a_setting_has_its_widths_alone(self, made, study):
        spec, _, _ = study
        evidence = Evidence.read(spec, made.root)
        for setting, multiples in ((spec.settings[3], {2, 4}), (spec.settings[4], {8, 16})):
            found = evidence.under(setting)
            assert set(found.of_setting["comparison"]) == {setting.comparison}
            for name in ("latents", "parameters", "cells"):
                rows = getattr(found, name)
                assert set(rows["width"] / rows["model"].map(spec.models)) == multiples
                assert set(rows["recipe"]) == {"zero"}
        assert spec.first_level(evidence.under(spec.settings[4]).setting) == 64

    def test_contrasts_of_other_widths_are_not_a_settings(self, tmp_path):
        raw = settings_configuration(tmp_path)
        raw["grid"] += [
            {"variant": "sagsae_tied", "expansion": full, "lambdas": [0.05], "recipes": ["zero"]}
            for full in (4, 16)
        ]
        spec, table, _ = judged(made_settings(tmp_path, grid=raw["grid"]))
        reason = "the grid has no sign-aware variant at 2H and H of one lambda and seed at resid"
        open_under = [why == reason for why in of(table, "full_width", "why")]
        assert open_under == [setting.recipe != "zero" for setting in spec.settings]
        shown = [text for text in of(table, "full_width", "here") if text]
        assert shown == ["0 of 2 runs at 2H collapse, 0 at H"] * 2  # not those at the other widths


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
        made = made_settings(
            tmp_path, grid=[*raw["grid"], *only], comparisons=raw["comparisons"][:1]
        )
        for cell in made.cells:
            if "/mlp_out/sagsae_tied@zero/" in cell:
                made.change(cell, r2=0.9)
        spec, table, found = judged(made)
        assert [setting.recipe for setting in spec.settings] == ["", "zero", "zero-fast"]
        assert of(table, "dominance") == [HOLDS, HOLDS, FAILS]
        assert of(found, "dominance", "hangs_on") == ["", "learning_rate", "learning_rate"]
        # rest_within: fails under zero by resid; at mlp_out, which both have, nothing is left.
        assert of(table, "rest_within") == [OPEN, FAILS, FAILS]
        assert of(found, "rest_within", "hangs_on") == ["", "", ""]


def test_settings_with_the_same_sign_aware_cells_count_once_for_claims_about_these(tmp_path):
    """Recipe fast trains Gated alone; under zero SA-GSAE is trained anew."""
    raw = settings_configuration(tmp_path)
    tied, gated = raw["grid"][:2]
    tied["recipes"], gated["recipes"] = ["default", "zero"], ["default", "zero", "fast"]
    raw["recipes"]["fast"] = {"variants": ["gated"], "training": {"learning_rate": 0.003}}
    made = made_settings(
        tmp_path, grid=[tied, gated], recipes=raw["recipes"], comparisons=raw["comparisons"][:1]
    )
    _, _, found = judged(made)
    gaps = made.table("comparison").groupby("recipe")["mean_gap"]
    assert gaps.mean().to_dict() == pytest.approx({"": 0.01, "fast": 0.01, "zero": -0.04}, abs=1e-3)
    assert gaps.count().to_dict() == {"": 4, "fast": 4, "zero": 4}
    assert found[found["claim"] == "dominance"]["recipe"].tolist() == ["", "fast", "zero"]
    once = found[found["same_as"].notna()]
    assert set(once["same_as"]) == {1}
    numbers = once.groupby("claim")["number"].agg(list)
    assert not {"dominance", "parameters"} & set(numbers.index)
    assert numbers[["mlp_polarity", "half_width"]].tolist() == [[2]] * 2
    assert numbers["protocol_a"] == [2, 3], "made-up data are one run"


def test_a_claim_is_a_row_of_the_page_and_a_setting_a_column(made, study):
    page = (made.root / "tables" / "claims.md").read_text()
    head = next(line for line in page.splitlines() if line.startswith("| Claim"))
    heads = [name.strip() for name in head.strip("| ").split("|")]
    assert heads[1:3] == ["Recipe default 2d vs 4d", "Recipe default 8d vs 16d"]
    assert len(heads[1:]) == 7
    assert "holds (b_dec_init" in page
    assert page.count("### Claims: recipe ") == 7
