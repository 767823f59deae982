"""Judges of the main comparison, on pairs at, above and below each limit."""

from __future__ import annotations

import math

import pytest

from pipeline.claims.claim import FAILS, HOLDS, MISSING, OPEN
from pipeline.claims.sa_gsae import sweeps
from tests.pipeline.claims.sa_gsae.made_tables import evidence, outcome, pair, told


class TestDominance:
    def test_half_of_the_pairs_are_enough(self):
        lost = pair("large", "attn", dominates=False, p_dominance=0.1, mean_gap=-0.01)
        assert told(sweeps.dominance, evidence(pair(), lost)) == (
            HOLDS,
            "1 of 2 pairs (P(dominance), bootstrap over seeds: small mlp_out 0.98; "
            "large attn 0.10)",
            "mean R2 gap -0.010 to +0.030",
        )
        other = pair("large", "resid", dominates=False)
        assert outcome(sweeps.dominance, evidence(pair(), lost, other)) == FAILS

    @pytest.mark.parametrize(
        ("lost", "expected"),
        [
            ([], HOLDS),
            ([("large", "resid")], HOLDS),
            ([("large", "resid"), ("small", "resid")], FAILS),
            ([("small", "mlp_out")], FAILS),
            ([("small", "attn")], HOLDS),
        ],
    )
    def test_every_mlp_out_and_one_resid_are_asked_for(self, lost, expected):
        places = [(m, h) for m in ("small", "large") for h in ("mlp_out", "attn", "resid")]
        found = evidence(*[pair(*where, dominates=where not in lost) for where in places])
        assert outcome(sweeps.dominance_where, found) == expected

    def test_a_pair_without_a_common_range_leaves_it_open_and_refutes_nothing(self):
        mlp, resid = pair(), pair(hookpoint="resid")
        apart, other = pair("large", dominates=None), pair("large", "resid", dominates=None)
        held = told(sweeps.dominance_where, evidence(mlp, resid, apart))
        why = "holds at small mlp_out, small resid; no common L0 range at large mlp_out"
        assert held == (OPEN, "mlp_out 1 of 1, resid 1 of 1", why)
        for pairs, expected in (
            ((pair(dominates=False), resid, apart), FAILS),
            ((mlp, resid, other), HOLDS),
            ((mlp, pair(hookpoint="resid", dominates=False), other), OPEN),
        ):
            assert outcome(sweeps.dominance_where, evidence(*pairs)) == expected


@pytest.mark.parametrize(
    ("judge", "gap", "expected"),
    [
        (sweeps.rest_within, -0.025, HOLDS),
        (sweeps.rest_within, -0.0251, FAILS),
        (sweeps.rest_gap, -0.008, HOLDS),
        (sweeps.rest_gap, -0.0081, FAILS),
    ],
)
def test_the_smallest_gap_of_each_lost_pair_counts(judge, gap, expected):
    lost = pair("large", "attn", dominates=False, min_gap=gap)
    less = pair("large", "resid", dominates=False, min_gap=0.0, min_gap_se=math.nan)
    assert outcome(judge, evidence(pair(min_gap=-1.0), lost, less)) == expected


def dead(model, hookpoint, candidate, baseline, l0=64, **values):
    """A pair with dead fractions, and their errors a tenth of them, at one L0."""
    columns = {"candidate": candidate, "baseline": baseline}
    found = {f"l0_{l0}_dead_fraction_{side}": value for side, value in columns.items()}
    errors = {f"{name}_se": value / 10 for name, value in found.items()}
    return pair(model, hookpoint, **found, **errors, **values)


class TestDeadAtMatched:
    def test_every_pair_must_have_that_much_less(self):
        first = dead("small", "mlp_out", 0.25, 0.75)
        found = evidence(first, dead("large", "attn", 0.0, 0.375))
        assert told(sweeps.dead_matched, found) == (
            HOLDS,
            f"lower by 0.375 to 0.500 at L0 = 64 (standard error at most "
            f"{math.sqrt(0.025**2 + 0.075**2):.3f}); Gated has 0.375 to 0.750 dead",
            "",
        )
        less = evidence(first, dead("large", "attn", 0.25, 0.5))
        assert outcome(sweeps.dead_matched, less) == FAILS

    def test_the_rest_is_read_at_the_first_level(self):
        lost = dead("large", "attn", 0.1, 0.5, l0=32, dominates=False)
        kept = dead("small", "mlp_out", 0.5, 0.5, l0=32)
        assert outcome(sweeps.dead_rest, evidence(kept, lost)) == HOLDS

    def test_it_is_judged_on_the_pairs_with_headroom(self):
        roomless = dead("large", "attn", 0.1, 0.3)
        why = "judged on 1 of 2 pairs with headroom; "
        why += "too few dead latents in Gated for that much at large attn"
        for candidate, expected in ((0.25, HOLDS), (0.5, FAILS)):
            found = evidence(dead("small", "mlp_out", candidate, 0.75), roomless)
            assert told(sweeps.dead_matched, found)[::2] == (expected, why)
        assert outcome(sweeps.dead_matched, evidence(roomless)) == OPEN

    def test_pairs_that_do_not_reach_the_level_leave_it_open_and_refute_nothing(self):
        short = dead("large", "resid", math.nan, math.nan)
        why = "holds at small mlp_out; no value at L0 = 64 at large resid"
        for other in (short, short | {"dominates": None}):
            held = evidence(dead("small", "mlp_out", 0.25, 0.75), other)
            assert told(sweeps.dead_matched, held)[::2] == (OPEN, why)
        lost = evidence(dead("small", "mlp_out", 0.5, 0.75), short)
        assert outcome(sweeps.dead_matched, lost) == FAILS
        none = (OPEN, "", "no pair can be read off at L0 = 64")
        assert told(sweeps.dead_matched, evidence(short)) == none
        assert told(sweeps.dead_matched, evidence()) == none


def swept(model="small", hookpoint="mlp_out", factor=120.0, ceiling=500.0, **values):
    counts = {"dead_floored": 1, "dead_points": 4, "dead_left_out": 2}
    numbers = {"dead_reduction": factor, "dead_ceiling": ceiling}
    return pair(model, hookpoint, **(numbers | counts | values))


class TestDeadOverSweep:
    def test_every_mlp_out_must_reach_the_factor(self):
        both = swept(), swept("large", factor=100.0, ceiling=100.0, dead_floored=2)
        elsewhere = swept("large", "attn", factor=1.0, dead_points=50)
        here = "100x to 120x (3 of 8 points floored; no dead latents on either side at 4 lambdas)"
        assert told(sweeps.dead_mlp, evidence(*both, elsewhere)) == (HOLDS, here, "")
        less = evidence(*both, swept("large", "mlp_out", factor=99.9))
        assert outcome(sweeps.dead_mlp, less) == FAILS

    def test_a_pair_where_no_factor_could_reach_it_has_no_headroom(self):
        low = swept("large", factor=30.0, ceiling=99.0)
        why = "too few dead latents in Gated for 100x at large mlp_out"
        for factor, expected in ((120.0, HOLDS), (50.0, FAILS)):
            found = told(sweeps.dead_mlp, evidence(swept(factor=factor), low))
            assert found[::2] == (expected, f"judged on 1 of 2 pairs with headroom; {why}")
        none = told(sweeps.dead_mlp, evidence(low))
        assert none[::2] == (OPEN, why + ": it would be at most 99x with no dead latents")

    def test_elsewhere_a_small_factor_is_enough(self):
        attn, resid = swept(hookpoint="attn", factor=2.0), swept(hookpoint="resid", factor=3.5)
        assert outcome(sweeps.dead_other, evidence(attn, resid, swept(factor=1.0))) == HOLDS
        for less in (attn, resid):
            lost = evidence(attn, resid, less | {"dead_reduction": 1.9})
            assert outcome(sweeps.dead_other, lost) == FAILS
        assert outcome(sweeps.dead_other, evidence(swept())) == MISSING


def at_l0(factor: float, points: float = 18, left_out: float = 0, ceiling: float = 900.0) -> dict:
    """Columns on equal L0, as effects.csv has them."""
    numbers = {"reduction": factor, "ceiling": ceiling, "floored": 5, "points": points}
    return {f"equal_l0_{what}": value for what, value in (numbers | {"left_out": left_out}).items()}


APART = {"dead_reduction": math.nan, "dead_ceiling": math.nan}
APART |= {"dead_points": 0, "dead_floored": 0, "dead_left_out": 0}
"""Two sweeps without a shared lambda."""


class TestAtEqualL0:
    first = swept(**at_l0(110.0))

    def test_it_decides_where_no_lambda_is_shared(self):
        other = swept("large", **APART, **at_l0(200.0, left_out=3))
        shown = (
            "120x to 200x (6 of 22 points floored; no dead latents on either side at 5 lambdas or "
            "levels of L0); at equal L0 110x to 200x, which decides at large mlp_out, where the "
            "sweeps share no lambda"
        )
        assert told(sweeps.dead_mlp, evidence(self.first, other)) == (HOLDS, shown, "")
        less = evidence(self.first, other | at_l0(99.0))
        assert outcome(sweeps.dead_mlp, less) == FAILS
        low = evidence(self.first, other | at_l0(50.0, ceiling=60.0))
        assert outcome(sweeps.dead_mlp, low) == HOLDS, "the other pair has no headroom"

    def test_a_pair_that_has_neither_leaves_it_open_and_refutes_nothing(self):
        nothing = swept("large", **APART, **dict.fromkeys(at_l0(1.0), math.nan))
        why = "holds at small mlp_out; no lambda is shared at large mlp_out"
        assert told(sweeps.dead_mlp, evidence(self.first, nothing))[::2] == (OPEN, why)
        lost = evidence(swept(factor=2.0, **at_l0(110.0)), nothing)
        assert outcome(sweeps.dead_mlp, lost) == FAILS
