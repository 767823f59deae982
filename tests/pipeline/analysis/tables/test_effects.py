"""Effects under several settings, and how much each factor moves them: numbers made by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pandas as pd
import pytest

from pipeline.analysis.tables.effects import EFFECTS, VARIANT_LEVEL, main_effect_table
from pipeline.study.settings import Factor, Setting
from tests.helpers.made_studies import made_settings
from tests.helpers.made_study import MadeStudy


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> MadeStudy:
    made = made_settings(tmp_path_factory.mktemp("effects"))
    made.tables()
    return made


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
        effects = study.table("effects")
        assert len(effects) == 7 * 4
        firsts = effects.drop_duplicates(["recipe", "widths"])
        levels = ["level_b_dec_init", "level_learning_rate", "level_width"]
        assert [name for name in effects if name.startswith("level_")] == levels
        assert [tuple(row) for row in firsts[["recipe", *levels]].itertuples(index=False)] == [
            ("", "mean", "0.0007", NARROW),
            ("", "mean", "0.0007", WIDE),
            ("fast", "mean", "0.003", NARROW),
            ("zero", "zero", "0.0007", NARROW),
            ("zero", "zero", "0.0007", WIDE),
            ("zero-fast", "zero", "0.003", NARROW),
            ("zero-fast", "zero", "0.003", WIDE),
        ]
        here = effects[effects["recipe"] == "fast"]
        places = [(model, at) for model in ("large", "small") for at in ("mlp_out", "resid")]
        assert list(zip(here["model"], here["hookpoint"], strict=True)) == places

    def test_the_advantage_is_as_made(self, study):
        effects = study.table("effects")
        default = point(effects, "", WIDE)
        assert default["min_gap"] == pytest.approx(0.02)
        assert pd.isna(default["min_gap_se"])
        assert point(effects, "zero-fast", WIDE)["mean_gap"] == pytest.approx(-0.032)
        narrow = point(effects, "zero", NARROW)  # two seeds, 0.001 apart
        assert narrow["mean_gap"] == pytest.approx(-0.0395, abs=1e-4)
        assert 0 < narrow["mean_gap_se"] < 0.001

    def test_reductions_at_equal_lambda_and_at_equal_l0(self, study):
        row = point(study.table("effects"), "zero", WIDE)
        for how, points in (("dead", 4), ("equal_l0", 18)):  # two shared lambdas, nine levels
            assert row[f"{how}_reduction"] == pytest.approx(256)
            assert row[f"{how}_log10"] == pytest.approx(math.log10(256))
            assert (row[f"{how}_points"], row[f"{how}_floored"]) == (points, 0)
            assert row[f"{how}_ceiling"] == pytest.approx(512)
        none = point(study.table("effects"), "", WIDE)  # none dead in Gated: half a latent of 1024
        assert none["equal_l0_reduction"] == pytest.approx((0.5 / 1024) / (1 / 512))
        assert none["equal_l0_floored"] == 9
        assert pd.isna(none["equal_l0_ceiling"])


def test_a_pair_without_an_overlap_or_off_the_matched_l0_has_a_reason(tmp_path):
    made = made_settings(tmp_path)
    for cell in made.cells:
        if "small/resid/gated@zero/w1024" in cell:
            made.change(cell, l0=2000 + 9 * ("lam0.1" in cell))
        if "small/mlp_out/gated@zero/w1024" in cell:
            made.change(cell, l0=90 if "lam0.05" in cell else 70 if "lam0.1" in cell else 66)
    made.tables()
    effects = made.table("effects")
    apart = point(effects, "zero", WIDE)
    assert apart[list(EFFECTS)[:4]].isna().all()
    assert "do not meet" in apart["overlap_reason"]
    assert apart["equal_l0_reason"] == "the L0 ranges do not meet"
    assert apart["dead_reduction"] == pytest.approx(256)  # at equal lambda
    off = point(effects, "zero", WIDE, ("small", "mlp_out"))
    assert off[["min_gap", "equal_l0_log10"]].notna().all()
    assert pd.isna(off["dead_drop"])
    assert "outside the overlap" in off["matched_reason"]
    moves = made.table("main_effects").set_index(["measure", "factor", "level"])
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
    ("b", "3", "mean", -0.06, "one cell"),
    ("c", "1", "mean", 0.06, ""),
    ("c", "3", "zero", 0.0, ""),
    ("c", "3", "mean", math.nan, ""),
)
"""Three pairs, two factors, and only one of them has three of the four combinations."""


class TestMainEffects:
    moves = main_effect_table(POINTS, SimpleNamespace(factors=FACTORS)).set_index(
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
        assert three["mean"] == pytest.approx((0.03 - 0.06 + 0) / 3)
        assert three["sd"] == pytest.approx(math.sqrt((0.04**2 + 0.05**2 + 0.01**2) / 2))
        assert three["median"] == pytest.approx(0.0)
        assert (three["least"], three["most"]) == (-0.06, 0.03)
        start = self.row("start", "zero")
        assert start["points"] == 2
        assert start["sd"] == pytest.approx(0.05 / math.sqrt(2))

    def test_a_difference_is_between_points_that_differ_in_nothing_else(self):
        """a and b have both rates with b_dec at the mean; c differs in the start, too."""
        rate = self.row("rate", "3", "1")
        assert (rate["points"], rate["with_collapses"]) == (2, 1)
        assert rate["mean"] == rate["median"] == pytest.approx((0.02 - 0.08) / 2)
        assert (rate["least"], rate["most"]) == pytest.approx((-0.08, 0.02))
        start = self.row("start", "zero", "mean")
        assert (start["points"], start["with_collapses"]) == (1, 0)
        assert start["mean"] == start["median"] == pytest.approx(-0.06)
        assert pd.isna(start["sd"])
