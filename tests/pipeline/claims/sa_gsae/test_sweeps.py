"""Judges of the main comparison, on pairs at, above and below each limit.

Numbers and remarks of verdicts are compared with those of the committed studies in tests/e2e.
"""

from __future__ import annotations

import math

import pytest

from pipeline.claims.claim import FAILS, HOLDS, MISSING, OPEN
from pipeline.claims.sa_gsae import sweeps
from tests.pipeline.claims.sa_gsae.made_tables import evidence, outcome, pair

RESID = pair(hookpoint="resid")
LOST = pair("large", "attn", dominates=False, p_dominance=0.1, mean_gap=-0.01)
APART = pair("large", dominates=None)
"""A pair without a common range of L0."""
DOMINANCE = [
    (sweeps.dominance, [pair(), LOST], HOLDS),  # half of the pairs are enough
    (sweeps.dominance, [pair(), LOST, pair("large", "resid", dominates=False)], FAILS),
    (sweeps.dominance_where, [pair(), RESID, APART], OPEN),
    (sweeps.dominance_where, [pair(dominates=False), RESID, APART], FAILS),
    (sweeps.dominance_where, [pair(), RESID, APART | {"hookpoint": "resid"}], HOLDS),
    (
        sweeps.dominance_where,
        [pair(), RESID | {"dominates": False}, APART | {"hookpoint": "resid"}],
        OPEN,
    ),
]


def dead(model="small", hookpoint="mlp_out", candidate=0.25, baseline=0.75, l0=64, **values):
    """A pair with dead fractions, and their errors a tenth of them, at one L0."""
    columns = {"candidate": candidate, "baseline": baseline}
    fractions = {f"l0_{l0}_dead_fraction_{side}": value for side, value in columns.items()}
    errors = {f"{name}_se": value / 10 for name, value in fractions.items()}
    return pair(model, hookpoint, **fractions, **errors, **values)


ROOMLESS = dead("large", "attn", 0.1, 0.3)
"""So few are dead in Gated that nothing can be lower by that much."""
SHORT = dead("large", "resid", math.nan, math.nan)
"""The sweeps do not reach the level."""
DEAD_AT_MATCHED = [
    (sweeps.dead_matched, [dead(), dead("large", "attn", 0.0, 0.375)], HOLDS),
    (sweeps.dead_matched, [dead(), dead("large", "attn", 0.25, 0.5)], FAILS),
    (sweeps.dead_matched, [dead(), ROOMLESS], HOLDS),
    (sweeps.dead_matched, [dead(candidate=0.5), ROOMLESS], FAILS),
    (sweeps.dead_matched, [ROOMLESS], OPEN),
    (sweeps.dead_matched, [dead(), SHORT], OPEN),
    (sweeps.dead_matched, [dead(), SHORT | {"dominates": None}], OPEN),
    (sweeps.dead_matched, [dead(candidate=0.5), SHORT], FAILS),
    (sweeps.dead_matched, [SHORT], OPEN),
    (sweeps.dead_matched, [pair()], OPEN),
    (
        sweeps.dead_rest,  # read at the first level, on the pairs that are lost
        [
            dead(candidate=0.5, baseline=0.5, l0=32),
            dead("large", "attn", 0.1, 0.5, 32, dominates=False),
        ],
        HOLDS,
    ),
]


def swept(model="small", hookpoint="mlp_out", factor=120.0, ceiling=500.0, **values):
    counts = {"dead_floored": 1, "dead_points": 4, "dead_left_out": 2}
    numbers = {"dead_reduction": factor, "dead_ceiling": ceiling}
    return pair(model, hookpoint, **(numbers | counts | values))


def at_l0(factor: float, ceiling: float = 900.0) -> dict[str, float]:
    """Columns on equal L0, as effects.csv has them."""
    counts = {"floored": 5, "points": 18, "left_out": 0}
    numbers = {"reduction": factor, "ceiling": ceiling, **counts}
    return {f"equal_l0_{what}": value for what, value in numbers.items()}


FIRST = swept(**at_l0(110.0))
UNSHARED = swept("large", factor=math.nan, ceiling=math.nan)
UNSHARED |= {"dead_points": 0, "dead_floored": 0, "dead_left_out": 0}
"""Two sweeps without a shared lambda: equal L0 decides."""
NOTHING = UNSHARED | dict.fromkeys(at_l0(1.0), math.nan)
ATTN, OTHER = swept(hookpoint="attn", factor=2.0), swept(hookpoint="resid", factor=3.5)
LOW = swept("large", factor=30.0, ceiling=99.0)
"""A pair at which no factor could reach a hundred."""
DEAD_OVER_SWEEP = [
    (sweeps.dead_mlp, [swept(), swept("large", factor=100.0, ceiling=100.0)], HOLDS),
    (sweeps.dead_mlp, [swept(), swept("large", "attn", factor=1.0)], HOLDS),
    (sweeps.dead_mlp, [swept(), swept("large", factor=99.9)], FAILS),
    (sweeps.dead_mlp, [swept(), LOW], HOLDS),
    (sweeps.dead_mlp, [swept(factor=50.0), LOW], FAILS),
    (sweeps.dead_mlp, [LOW], OPEN),
    (sweeps.dead_mlp, [FIRST, UNSHARED | at_l0(200.0)], HOLDS),
    (sweeps.dead_mlp, [FIRST, UNSHARED | at_l0(99.0)], FAILS),
    (sweeps.dead_mlp, [FIRST, UNSHARED | at_l0(50.0, ceiling=60.0)], HOLDS),
    (sweeps.dead_mlp, [FIRST, NOTHING], OPEN),
    (sweeps.dead_mlp, [FIRST | {"dead_reduction": 2.0}, NOTHING], FAILS),
    (sweeps.dead_other, [ATTN, OTHER, swept(factor=1.0)], HOLDS),
    (sweeps.dead_other, [ATTN | {"dead_reduction": 1.9}, OTHER], FAILS),
    (sweeps.dead_other, [ATTN, OTHER | {"dead_reduction": 1.9}], FAILS),
    (sweeps.dead_other, [swept()], MISSING),
]


@pytest.mark.parametrize(
    ("judge", "pairs", "expected"), [*DOMINANCE, *DEAD_AT_MATCHED, *DEAD_OVER_SWEEP]
)
def test_a_verdict_of_pairs(judge, pairs, expected):
    assert outcome(judge, evidence(*pairs)) == expected


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
def test_every_mlp_out_and_one_resid_are_asked_for(lost, expected):
    places = [(m, h) for m in ("small", "large") for h in ("mlp_out", "attn", "resid")]
    pairs = [pair(*where, dominates=where not in lost) for where in places]
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
