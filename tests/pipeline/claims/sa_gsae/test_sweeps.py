"""Judges of the main comparison, on pairs at, above and below each limit."""

from __future__ import annotations

import math

import pytest

from pipeline.claims.claim import FAILS, HOLDS, MISSING, OPEN
from pipeline.claims.sa_gsae import sweeps
from tests.pipeline.claims.sa_gsae.made_tables import evidence, pair, told


class TestDominance:
    def test_half_of_the_pairs_are_enough(self):
        lost = pair("large", "attn", dominates=False, p_dominance=0.1, mean_gap=-0.01)
        assert told(sweeps.dominance, evidence(pair(), lost)) == (
            HOLDS,
            "1 of 2 pairs (P(dominance), bootstrap over seeds: small mlp_out 0.98; "
            "large attn 0.10)",
            "mean R2 gap -0.010 to +0.030",
        )
        other = pair("large", "resid", dominates=False, mean_gap=0.0, p_dominance=0.4)
        assert told(sweeps.dominance, evidence(pair(), lost, other))[0] == FAILS

    @pytest.mark.parametrize(
        ("lost", "outcome"),
        [
            ([], HOLDS),
            ([("large", "resid")], HOLDS),
            ([("large", "resid"), ("small", "resid")], FAILS),
            ([("small", "mlp_out")], FAILS),
            ([("small", "attn")], HOLDS),
        ],
    )
    def test_every_mlp_out_and_one_resid_are_asked_for(self, lost, outcome):
        places = [(m, h) for m in ("small", "large") for h in ("mlp_out", "attn", "resid")]
        found = evidence(*[pair(*where, dominates=where not in lost) for where in places])
        counts = {h: 2 - sum(name == h for _, name in lost) for h in ("mlp_out", "resid")}
        here = ", ".join(f"{h} {count} of 2" for h, count in counts.items())
        assert told(sweeps.dominance_where, found) == (outcome, here, "")

    def test_a_pair_without_a_common_range_leaves_it_open_and_refutes_nothing(self):
        mlp, resid = pair(), pair(hookpoint="resid")
        apart = pair("large", dominates=None)
        held = told(sweeps.dominance_where, evidence(mlp, resid, apart))
        why = "holds at small mlp_out, small resid; no common L0 range at large mlp_out"
        assert held == (OPEN, "mlp_out 1 of 1, resid 1 of 1", why)
        lost = evidence(pair(dominates=False), resid, apart)
        assert told(sweeps.dominance_where, lost)[0] == FAILS
        other = pair("large", "resid", dominates=None)
        assert told(sweeps.dominance_where, evidence(mlp, resid, other))[0] == HOLDS
        none = pair(hookpoint="resid", dominates=False)
        assert told(sweeps.dominance_where, evidence(mlp, none, other))[0] == OPEN


class TestRest:
    def test_the_smallest_gap_of_each_lost_pair_counts(self):
        lost = pair("large", "attn", dominates=False, min_gap=-0.025, min_gap_se=0.004)
        less = pair("large", "resid", dominates=False, min_gap=0.0, min_gap_se=math.nan)
        here = "smallest gap large attn -0.025 ± 0.004; large resid +0.000"
        assert told(sweeps.rest_within, evidence(pair(), lost, less)) == (HOLDS, here, "")
        worse = lost | {"min_gap": -0.0251}
        assert told(sweeps.rest_within, evidence(worse, less))[0] == FAILS
        assert told(sweeps.rest_gap, evidence(lost, less))[:2] == (
            FAILS,
            "largest negative gap -0.025",
        )

    @pytest.mark.parametrize(("gap", "outcome"), [(-0.008, HOLDS), (-0.0081, FAILS)])
    def test_the_largest_negative_gap_has_a_limit(self, gap, outcome):
        lost = pair("large", "attn", dominates=False, min_gap=gap)
        assert told(sweeps.rest_gap, evidence(lost, pair(min_gap=-1.0)))[0] == outcome


def dead(model, hookpoint, candidate, baseline, l0=64, **values):
    """A pair with dead fractions, and their errors a tenth of them, at one L0."""
    columns = {"candidate": candidate, "baseline": baseline}
    found = {f"l0_{l0}_dead_fraction_{side}": value for side, value in columns.items()}
    errors = {f"{name}_se": value / 10 for name, value in found.items()}
    return pair(model, hookpoint, **found, **errors, **values)


class TestDeadAtMatched:
    def test_every_pair_must_have_that_much_less(self):
        found = evidence(dead("small", "mlp_out", 0.25, 0.75), dead("large", "attn", 0.0, 0.375))
        error = math.sqrt(0.025**2 + 0.075**2)
        assert told(sweeps.dead_matched, found) == (
            HOLDS,
            f"lower by 0.375 to 0.500 at L0 = 64 (standard error at most {error:.3f}); "
            "Gated has 0.375 to 0.750 dead",
            "",
        )
        less = evidence(dead("small", "mlp_out", 0.25, 0.75), dead("large", "attn", 0.25, 0.5))
        assert told(sweeps.dead_matched, less)[0] == FAILS

    def test_it_is_judged_on_the_pairs_with_headroom(self):
        roomless = dead("large", "attn", 0.1, 0.3)
        held = told(sweeps.dead_matched, evidence(dead("small", "mlp_out", 0.25, 0.75), roomless))
        why = "judged on 1 of 2 pairs with headroom; "
        why += "too few dead latents in Gated for that much at large attn"
        assert (held[0], held[2]) == (HOLDS, why)
        assert held[1].startswith("lower by 0.200 to 0.500 at L0 = 64")
        lost = told(sweeps.dead_matched, evidence(dead("small", "mlp_out", 0.5, 0.75), roomless))
        assert (lost[0], lost[2]) == (FAILS, why)
        alone = told(sweeps.dead_matched, evidence(roomless))
        assert alone[0] == OPEN
        assert alone[1].endswith("Gated has 0.300 dead")
        assert alone[2] == (
            "Gated has less than 0.35 dead everywhere: nothing can be lower by that"
        )

    def test_pairs_that_do_not_reach_the_level_leave_it_open_and_refute_nothing(self):
        short = dead("large", "resid", math.nan, math.nan)
        held = told(sweeps.dead_matched, evidence(dead("small", "mlp_out", 0.25, 0.75), short))
        why = "holds at small mlp_out; no value at L0 = 64 at large resid"
        assert (held[0], held[2]) == (OPEN, why)
        assert held[1].startswith("lower by 0.500 at")
        apart = short | {"dominates": None}
        held = told(sweeps.dead_matched, evidence(dead("small", "mlp_out", 0.25, 0.75), apart))
        assert (held[0], held[2]) == (OPEN, why)
        lost = told(sweeps.dead_matched, evidence(dead("small", "mlp_out", 0.5, 0.75), short))
        assert lost[0] == FAILS
        none = (OPEN, "", "no pair can be read off at L0 = 64")
        assert told(sweeps.dead_matched, evidence(short)) == none
        assert told(sweeps.dead_matched, evidence()) == none


def swept(model="small", hookpoint="mlp_out", factor=120.0, ceiling=500.0, **values):
    counts = {"dead_floored": 1, "dead_points": 4, "dead_left_out": 2}
    numbers = {"dead_reduction": factor, "dead_ceiling": ceiling}
    return pair(model, hookpoint, **(numbers | counts | values))


NOTHING = {"dead_reduction": math.nan, "dead_ceiling": math.nan}
COUNTED = "({} of {} points floored; no dead latents on either side at {} lambdas)"


class TestDeadOverSweep:
    def test_every_mlp_out_must_reach_the_factor(self):
        both = swept(), swept("large", factor=100.0, ceiling=100.0, dead_floored=2)
        elsewhere = swept("large", "attn", factor=1.0, dead_points=50)
        found = told(sweeps.dead_mlp, evidence(*both, elsewhere))
        assert found == (HOLDS, f"100x to 120x {COUNTED.format(3, 8, 4)}", "")
        less = told(sweeps.dead_mlp, evidence(*both, swept("large", "mlp_out", factor=99.9)))
        assert less[0] == FAILS

    def test_a_pair_where_no_factor_could_reach_it_has_no_headroom(self):
        low = swept("large", factor=30.0, ceiling=99.0)
        found = told(sweeps.dead_mlp, evidence(swept(), low))
        why = "too few dead latents in Gated for 100x at large mlp_out"
        some = f"judged on 1 of 2 pairs with headroom; {why}"
        assert found == (HOLDS, f"30x to 120x {COUNTED.format(2, 8, 4)}", some)
        lost = told(sweeps.dead_mlp, evidence(swept(factor=50.0), low))
        assert lost == (FAILS, f"30x to 50x {COUNTED.format(2, 8, 4)}", some)
        none = told(sweeps.dead_mlp, evidence(low))
        more = ": it would be at most 99x with no dead latents"
        assert (none[0], none[2]) == (OPEN, why + more)

    def test_elsewhere_a_small_factor_is_enough(self):
        attn, resid = swept(hookpoint="attn", factor=2.0), swept(hookpoint="resid", factor=3.5)
        found = told(sweeps.dead_other, evidence(attn, resid, swept(factor=1.0)))
        assert found == (HOLDS, f"2x to 3.5x {COUNTED.format(2, 8, 4)}", "")
        for less in (attn, resid):
            lost = told(sweeps.dead_other, evidence(attn, resid, less | {"dead_reduction": 1.9}))
            assert lost[0] == FAILS
        assert told(sweeps.dead_other, evidence(swept())) == (
            MISSING,
            "",
            "nothing is compared at attn, resid",
        )


def at_l0(factor: float, points: float = 18, left_out: float = 0, ceiling: float = 900.0) -> dict:
    """Columns on equal L0, as effects.csv has them."""
    numbers = {"reduction": factor, "ceiling": ceiling, "floored": 5, "points": points}
    return {f"equal_l0_{what}": value for what, value in (numbers | {"left_out": left_out}).items()}


APART = NOTHING | {"dead_points": 0, "dead_floored": 0, "dead_left_out": 0}
"""Two sweeps without a shared lambda."""


class TestAtEqualL0:
    def test_it_decides_where_no_lambda_is_shared(self):
        other = swept("large", **APART, **at_l0(200.0, left_out=3))
        shown = (
            "120x to 200x (6 of 22 points floored; no dead latents on either side at 5 lambdas or "
            "levels of L0); at equal L0 110x to 200x, which decides at large mlp_out, where the "
            "sweeps share no lambda"
        )
        assert told(sweeps.dead_mlp, evidence(swept(**at_l0(110.0)), other)) == (HOLDS, shown, "")
        less = other | at_l0(99.0)
        assert told(sweeps.dead_mlp, evidence(swept(**at_l0(110.0)), less))[0] == FAILS
        low = other | at_l0(50.0, ceiling=60.0)
        outcome, _, why = told(sweeps.dead_mlp, evidence(swept(**at_l0(110.0)), low))
        assert (outcome, why) == (
            HOLDS,
            "judged on 1 of 2 pairs with headroom; too few dead latents in Gated for 100x at large "
            "mlp_out",
        )

    def test_a_pair_that_has_neither_leaves_it_open_and_refutes_nothing(self):
        nothing = swept("large", **APART, **dict.fromkeys(at_l0(1.0), math.nan))
        found = told(sweeps.dead_mlp, evidence(swept(**at_l0(110.0)), nothing))
        here = f"120x {COUNTED.format(1, 4, 2)}; at equal L0 110x"
        why = "holds at small mlp_out; no lambda is shared at large mlp_out"
        assert found == (OPEN, here, why)
        lost = told(sweeps.dead_mlp, evidence(swept(factor=2.0, **at_l0(110.0)), nothing))
        assert lost[0] == FAILS
