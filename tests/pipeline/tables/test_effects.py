"""Effects under several settings, and how much each factor moves them: numbers made by hand."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.settings import Factor, Setting
from pipeline.tables.effect_text import main_effect_parts, what_moves
from pipeline.tables.effects import EFFECTS
from pipeline.tables.main_effects import VARIANT_LEVEL, main_effect_table
from pipeline.text.csv_files import read_table
from tests.pipeline.conftest import MadeStudy
from tests.pipeline.made_settings import made_settings, pairs


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> MadeStudy:
    made = made_settings(tmp_path_factory.mktemp("effects"))
    made.tables()
    return made


def table(study: MadeStudy, name: str) -> pd.DataFrame:
    return read_table(study.root / "tables" / f"{name}.csv")


def point(effects: pd.DataFrame, recipe: str, widths: str, place=("small", "resid")) -> pd.Series:
    here = effects[
        (effects["recipe"] == recipe)
        & (effects["widths"] == widths)
        & (effects["model"] == place[0])
        & (effects["hookpoint"] == place[1])
    ]
    (_, row), *more = here.iterrows()
    assert not more
    return row


NARROW, WIDE = "2d vs 4d", "8d vs 16d"


class TestEffects:
    def test_every_setting_and_pair_is_a_row_with_its_levels(self, study):
        effects = table(study, "effects")
        assert len(effects) == 7 * 4
        firsts = effects.drop_duplicates(["recipe", "widths"])
        levels = ["level_learning_rate", "level_b_dec_init", "level_width"]
        assert [name for name in effects if name.startswith("level_")] == levels
        assert [tuple(row) for row in firsts[["recipe", *levels]].itertuples(index=False)] == [
            ("", "0.0007", "mean", NARROW),
            ("", "0.0007", "mean", WIDE),
            ("fast", "0.003", "mean", NARROW),
            ("zero", "0.0007", "zero", NARROW),
            ("zero", "0.0007", "zero", WIDE),
            ("zero-fast", "0.003", "zero", NARROW),
            ("zero-fast", "0.003", "zero", WIDE),
        ]
        here = effects[effects["recipe"] == "fast"]
        assert list(zip(here["model"], here["hookpoint"], strict=True)) == pairs()

    def test_what_the_comparison_has_is_taken_from_there(self, study):
        effects, comparison = table(study, "effects"), table(study, "comparison")
        keys = ["comparison", "recipe", "model", "hookpoint"]
        both = effects.merge(comparison, on=keys, suffixes=("", "_there"), validate="1:1")
        assert len(both) == len(effects)
        for name in ("min_gap", "mean_gap", "min_gap_se", "overlap_lo", "dead_reduction"):
            pd.testing.assert_series_equal(both[name], both[f"{name}_there"], check_names=False)
        for side in ("candidate", "baseline"):
            found = both[f"dead_{side}"].tolist()
            assert found == both[f"l0_64_dead_fraction_{side}"].tolist()
        assert both["collapsed"].equals(both["collapsed_there"])

    def test_the_advantage_is_as_made(self, study):
        effects = table(study, "effects")
        default = point(effects, "", WIDE)
        assert default["min_gap"] == pytest.approx(0.02)
        assert pd.isna(default["min_gap_se"])
        assert point(effects, "zero-fast", WIDE)["mean_gap"] == pytest.approx(-0.032)
        narrow = point(effects, "zero", NARROW)  # two seeds, 0.001 apart
        assert narrow["mean_gap"] == pytest.approx(-0.0395, abs=1e-4)
        assert 0 < narrow["mean_gap_se"] < 0.001

    def test_dead_fractions_at_the_matched_l0(self, study):
        row = point(table(study, "effects"), "zero", WIDE)  # H = 512 against 1024
        assert row["matched_l0"] == 64
        assert (row["dead_candidate"], row["dead_baseline"]) == (1 / 512, 0.5)
        assert row["dead_drop"] == pytest.approx(0.5 - 1 / 512)
        assert pd.isna(row["dead_drop_se"])

    def test_reductions_at_equal_lambda_and_at_equal_l0(self, study):
        row = point(table(study, "effects"), "zero", WIDE)
        for how, points in (("dead", 4), ("equal_l0", 18)):  # two shared lambdas, nine levels
            assert row[f"{how}_reduction"] == pytest.approx(256)
            assert row[f"{how}_log10"] == pytest.approx(math.log10(256))
            assert (row[f"{how}_points"], row[f"{how}_floored"]) == (points, 0)
            assert row[f"{how}_ceiling"] == pytest.approx(512)
        none = point(table(study, "effects"), "", WIDE)  # none dead in Gated: half a latent of 1024
        assert none["equal_l0_reduction"] == pytest.approx((0.5 / 1024) / (1 / 512))
        assert none["equal_l0_floored"] == 9
        assert pd.isna(none["equal_l0_ceiling"])

    def test_collapsed_cells_are_counted_on_their_side(self, study):
        row = point(table(study, "effects"), "zero-fast", NARROW, ("large", "resid"))
        assert (row["candidate_collapsed"], row["baseline_collapsed"]) == (0, 6)
        assert row["collapsed"].count("R2 below 0.2") == 6
        other = point(table(study, "effects"), "zero", NARROW, ("large", "resid"))
        assert (other["baseline_collapsed"], other["collapsed"]) == (0, "")

    def test_errors_of_reductions_are_over_seeds(self, study):
        effects = table(study, "effects")
        assert effects.loc[effects["widths"] == WIDE, "dead_log10_se"].isna().all()
        narrow = effects[effects["widths"] == NARROW]
        assert narrow["equal_l0_log10_se"].notna().all()
        assert narrow["dead_drop_se"].notna().all()

    def test_the_page_has_a_table_for_each_setting(self, study):
        page = (study.root / "tables" / "effects.md").read_text()
        assert page.count("\n### ") == 7
        assert "### zero-fast, 8d vs 16d (learning_rate 0.003, b_dec_init zero, width 8d" in page
        assert "one standard error over seeds" in page
        assert "256x" in page
        tex = (study.root / "tables" / "main_effects.tex").read_text()
        assert r"mean $\to$ zero" in tex


def test_a_pair_without_an_overlap_or_off_the_matched_l0_has_a_reason(tmp_path):
    made = made_settings(tmp_path)
    for cell in made.spec["cells"]:
        if "small/resid/gated@zero/w1024" in cell:
            made.change(cell, l0=2000 + 9 * ("lam0.1" in cell))
        if "small/mlp_out/gated@zero/w1024" in cell:
            made.change(cell, l0=90 if "lam0.05" in cell else 70 if "lam0.1" in cell else 66)
    made.tables()
    effects = table(made, "effects")
    apart = point(effects, "zero", WIDE)
    assert apart[list(EFFECTS)[:4]].isna().all()
    assert "do not meet" in apart["overlap_reason"]
    assert apart["equal_l0_reason"] == "the L0 ranges do not meet"
    assert apart["dead_reduction"] == pytest.approx(256)  # at equal lambda
    off = point(effects, "zero", WIDE, ("small", "mlp_out"))
    assert off[["min_gap", "equal_l0_log10"]].notna().all()
    assert pd.isna(off["dead_drop"])
    assert "outside the overlap" in off["matched_reason"]
    moves = table(made, "main_effects").set_index(["measure", "factor", "level"])
    counts = [moves.loc[(name, "variant", VARIANT_LEVEL), "points"] for name in EFFECTS]
    assert counts == [27, 27, 26, 27, 28]


def factor(name: str, *levels: str, together: tuple[str, ...] = ()) -> Factor:
    return Factor(name, {Setting(level): level for level in levels}, together)


FACTORS = [factor("rate", "1", "3", together=("batch",)), factor("start", "mean", "zero")]


def frame(*rows: tuple) -> pd.DataFrame:
    """Points of effects.csv with one effect: model, rate, start, smallest gap, collapsed cells."""
    columns = ["model", "level_rate", "level_start", "min_gap", "collapsed"]
    points = pd.DataFrame(rows, columns=columns).assign(hookpoint="resid")
    return points.assign(**{name: math.nan for name in EFFECTS if name != "min_gap"})


POINTS = frame(
    ("a", "1", "mean", 0.01, ""),
    ("a", "3", "mean", 0.03, ""),
    ("a", "1", "zero", -0.05, ""),
    ("b", "1", "mean", 0.02, ""),
    ("b", "3", "mean", -9.0, "one cell"),
    ("c", "1", "mean", 0.06, ""),
    ("c", "3", "zero", 0.0, ""),
    ("c", "3", "mean", math.nan, ""),
)
"""Three pairs, two factors, and only one of them has three of the four combinations."""


class TestMainEffects:
    moves = main_effect_table(POINTS, FACTORS).set_index(
        ["measure", "factor", "level", "against"], drop=False
    )

    def row(self, name: str, level: str, against: str = "") -> pd.Series:
        return self.moves.loc[("min_gap", name, level, against)]

    def test_a_levels_mean_is_over_all_points_that_have_it(self):
        one = self.row("rate", "1")
        assert (one["points"], one["with_collapses"]) == (4, 0)
        assert one["mean"] == pytest.approx((0.01 - 0.05 + 0.02 + 0.06) / 4)
        three = self.row("rate", "3")
        assert (three["points"], three["with_collapses"]) == (3, 1)  # one has no gap
        assert three["mean"] == pytest.approx((0.03 + 0) / 2)  # without the one that collapsed
        assert three["sd"] == pytest.approx(0.03 / math.sqrt(2))
        assert three["median"] == pytest.approx(0.0)
        assert (three["least"], three["most"]) == (-9.0, 0.03)
        start = self.row("start", "zero")
        assert start["points"] == 2
        assert start["sd"] == pytest.approx(0.05 / math.sqrt(2))

    def test_a_difference_is_between_points_that_differ_in_nothing_else(self):
        """a and b have both rates with b_dec at the mean; c differs in the start, too."""
        rate = self.row("rate", "3", "1")
        assert (rate["points"], rate["with_collapses"]) == (2, 1)
        assert rate["mean"] == pytest.approx(0.02)
        assert rate["median"] == pytest.approx((0.02 - 9.02) / 2)
        assert (rate["least"], rate["most"]) == pytest.approx((-9.02, 0.02))
        start = self.row("start", "zero", "mean")
        assert (start["points"], start["with_collapses"]) == (1, 0)
        assert start["mean"] == start["median"] == pytest.approx(-0.06)
        assert pd.isna(start["sd"])

    def test_the_variants_own_effect_stands_beside_them(self):
        own = self.row("variant", VARIANT_LEVEL)
        assert (own["points"], own["with_collapses"]) == (7, 1)
        assert own["median"] == pytest.approx(0.01)

    def test_factors_that_change_together_are_named(self):
        assert self.row("rate", "1")["together_with"] == "batch"
        assert self.row("start", "mean")["together_with"] == ""
        page = [str(part) for part in main_effect_parts(self.moves.reset_index(drop=True))]
        assert "rate changes together with batch: nothing tells them apart." in page

    def test_an_effect_that_no_point_has_is_empty_and_not_shown(self):
        assert self.moves.loc["dead_drop"]["points"].tolist() == [0]
        parts = main_effect_parts(self.moves.reset_index(drop=True))
        (grid,) = [part for part in parts if not isinstance(part, str)]
        assert grid.title == "Smallest R2 gap"
        assert grid.rows[1][:4] == ("rate and 1 more", "1", "4", "+0.010")
        assert grid.rows[3][:4] == ("rate and 1 more", "1 → 3", "2 pairs", "+0.020")
        assert grid.rows[-1][:5] == ("start", "mean → zero", "1 pair", "-0.060", "–")

    def test_what_moves_it_is_said_in_medians_the_largest_first(self):
        rows = self.moves.loc["min_gap"].reset_index(drop=True)
        assert what_moves(rows) == (
            "Smallest R2 gap: +0.010, the median of 7 points. What moves it, in medians of paired "
            "differences: rate by -4.500 (1 → 3, 2 pairs, 1 with collapsed cells); start by -0.060 "
            "(mean → zero, 1 pair)."
        )
        alone = rows[rows["against"] == ""]
        assert what_moves(alone).endswith("No two points differ in one factor alone.")

    def test_each_two_of_three_levels_are_compared(self):
        three = [factor("rate", "1", "2", "3")]
        points = frame(*[("a", level, "mean", float(level), "") for level in "321"])
        moves = main_effect_table(points, three)
        paired = moves[moves["against"] != ""].query("measure == 'min_gap'")
        assert list(zip(paired["against"], paired["level"], paired["mean"], strict=True)) == [
            *(("1", "2", 1.0), ("1", "3", 2.0), ("2", "3", 1.0))
        ]


@settings(max_examples=30)
@given(st.lists(st.floats(-1, 1), min_size=8, max_size=8))
def test_in_a_crossed_design_the_paired_difference_is_that_of_the_means(values):
    rows = [(m, r, s) for m in "ab" for r in "13" for s in ("mean", "zero")]
    points = frame(*[(*row, value, "") for row, value in zip(rows, values, strict=True)])
    moves = main_effect_table(points, FACTORS).query("measure == 'min_gap'")
    for one in FACTORS:
        own = moves[moves["factor"] == one.name]
        low, high = own.loc[own["against"] == "", "mean"]
        (difference,) = own.loc[own["against"] != "", "mean"]
        assert difference == pytest.approx(high - low, abs=1e-9)
        assert own.loc[own["against"] != "", "points"].tolist() == [4]


def test_one_setting_has_no_effects(made_study):
    spec = ComparisonSpec.argument(json.dumps(made_study.spec))
    assert not spec.has_effects
    assert not list(made_study.tables().glob("*effects*"))
