"""Comparisons of constructed sweeps whose answer is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagsae.comparison.dead_latents import dead_reduction
from sagsae.comparison.dominance import dominance, matched, overlap
from tests.sagsae.comparison.samples import at_lambdas as sweep
from tests.sagsae.comparison.samples import seeded

l0s = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=6, unique=True)
curves = l0s.flatmap(
    lambda xs: st.lists(st.floats(-1, 1), min_size=len(xs), max_size=len(xs)).map(
        lambda ys: list(zip(xs, ys, strict=True))
    )
)

ranges = curves.filter(lambda points: len({math.log(l0) for l0, _ in points}) > 1)


class TestOverlap:
    def test_touching_ranges_share_one_l0(self):
        left, right = sweep([(1, 0.1), (10, 0.4)]), sweep([(10, 0.3), (50, 0.6)])
        shared, verdict = overlap(left, right), dominance(left, right)
        assert (shared.lo, shared.hi) == (10, 10)
        assert verdict.min_gap == verdict.mean_gap == pytest.approx(0.1)
        assert verdict.dominates is None
        assert verdict.reason == "the L0 ranges share a single L0, 10: dominance needs a range"

    def test_disjoint_has_a_reason_and_no_numbers(self):
        left, right = sweep([(1, 0.1), (2, 0.4)], label="L"), sweep([(3, 0.3)], label="R")
        shared, verdict = overlap(left, right), dominance(left, right)
        assert (shared.lo, shared.hi) == (None, None)
        assert "L spans 1 to 2" in shared.reason
        assert "R 3 to 3" in shared.reason
        assert verdict.dominates is verdict.min_gap is verdict.mean_gap is None
        assert verdict.p_reason == "no overlap"
        assert verdict.reason == shared.reason

    def test_zero_l0_is_outside_every_range(self):
        some, none = sweep([(0, -0.1), (5, 0.5)]), sweep([(0, 0.0)], label="B")
        assert overlap(some, some).lo == 5
        assert overlap(some, none).reason == "B: no intact point has L0 above zero"


class TestDominance:
    def test_no_win_is_over_a_run_that_collapsed(self):
        ours, theirs = sweep([(10, 0.7), (99, 0.8)]), sweep([(5, 0.6), (10, 0.65), (99, -9)])
        assert dominance(ours, theirs).dominates is True
        last = replace(theirs.cells[-1], collapsed=("R2",))
        found = dominance(ours, replace(theirs, cells=(*theirs.cells[:-1], last)))
        assert (found.dominates, found.max_gap) == (None, pytest.approx(0.05))
        none = dominance(ours, replace(theirs, cells=(last,)))
        assert (none.dominates, none.reason) == (None, "A: no intact point has L0 above zero")
        assert dead_reduction(ours, replace(theirs, cells=(last,))).reason == "no lambda in common"

    def test_crossing_does_not_dominate_and_is_found_at_the_lowest_gap(self):
        steep, flat = sweep([(1, 0.0), (100, 1.0)]), sweep([(1, 0.4), (100, 0.4)])
        verdict = dominance(steep, flat)
        assert verdict.dominates is False
        assert (verdict.min_gap, verdict.min_gap_l0) == (pytest.approx(-0.4), 1)
        assert verdict.mean_gap == pytest.approx(0.1)

    def test_touching_at_one_point_is_not_strict(self):
        bent, flat = sweep([(1, 0.5), (10, 0.3), (100, 0.5)]), sweep([(1, 0.3), (100, 0.3)])
        verdict = dominance(bent, flat)
        assert verdict.dominates is False
        assert (verdict.min_gap, verdict.min_gap_l0) == (0, 10)

    @given(curves, curves)
    def test_agrees_with_a_dense_grid(self, a, b):
        one, two = sweep(a), sweep(b)
        shared, verdict = overlap(one, two), dominance(one, two)
        if shared.lo is None:
            assert verdict.dominates is None
            return
        inside = [l0 for l0, _ in a + b if shared.lo <= l0 <= shared.hi]
        grid = [*np.geomspace(shared.lo, shared.hi, 60).clip(shared.lo, shared.hi), *inside]
        gaps = [one.frontier("r2").at(x) - two.frontier("r2").at(x) for x in grid]
        assert verdict.min_gap == pytest.approx(min(gaps), abs=1e-9)
        assert min(gaps) - 1e-9 <= verdict.mean_gap <= max(gaps) + 1e-9


class TestBootstrap:
    def test_a_draw_whose_overlap_is_a_single_l0_counts_against_dominance(self):
        """One draw of four ends at L0 = 10, where the baseline starts."""
        near, far = sweep([(1, 0.5), (10, 0.5)]), sweep([(1, 0.5), (14, 0.5)])
        base = seeded(*[sweep([(10, 0.3), (100, 0.3)], label="base")] * 2)
        verdict = dominance(seeded(near, far), base, draws=4000)
        assert verdict.dominates is True
        assert verdict.p_dominance == pytest.approx(0.75, abs=0.03)


class TestMatched:
    def test_reads_both_off_their_frontiers(self):
        found = matched(sweep([(1, 0.0), (100, 1.0)]), sweep([(5, 0.3), (20, 0.3)]), "r2", 10)
        assert found.candidate is not None
        assert found.baseline is not None
        assert found.candidate.mean == pytest.approx(0.5)
        assert found.baseline.mean == pytest.approx(0.3)
        assert found.reason == ""

    @pytest.mark.parametrize("l0", [4.9, 20.41])
    def test_outside_the_overlap_is_empty_although_one_side_reaches_it(self, l0):
        found = matched(sweep([(1, 0.0), (100, 1.0)]), sweep([(5, 0.3), (20, 0.3)]), "r2", l0)
        assert (found.candidate, found.baseline) == (None, None)
        assert "outside the overlap 5 to 20" in found.reason

    def test_one_k_each_is_compared_beside_its_l0_although_the_ranges_do_not_meet(self):
        two, one = sweep([(64.4, 0.78)]), sweep([(64.2, 0.79)])
        found = matched(two, one, "r2", 64)
        assert found.candidate is not None
        assert found.baseline is not None
        assert (found.candidate.mean, found.baseline.mean) == (0.78, 0.79)
        assert "do not meet" in matched(two, sweep([(70, 0.8)]), "r2", 64).reason


class TestDeadReduction:
    def test_geometric_mean_over_shared_lambdas(self):
        points = [(10, 0.5), (20, 0.6), (30, 0.7)]
        few = sweep(points, dead=[0.1, 0.01, 0.2], width=1000)
        many = sweep(points[:2], dead=[0.4, 0.16], width=2000)
        found = dead_reduction(few, many)
        assert found.factor == pytest.approx(8)
        assert (found.points, found.floored, found.reason) == (4, 0, "")
        assert found.left_out == 0

    def test_the_ceiling_is_over_the_lambdas_that_no_dead_candidate_would_leave(self):
        points = [(10, 0.5), (20, 0.6)]
        few, many = sweep(points, dead=[0.1, 0.1], width=100), sweep(points, dead=[0.4, 0.0])
        found = dead_reduction(few, many)
        assert found.factor == pytest.approx(math.sqrt(4 * 0.05))
        assert found.ceiling == pytest.approx(0.4 / 0.005)
        assert dead_reduction(few, sweep(points)).ceiling is None


def test_a_bootstrap_agrees_with_the_exact_distribution():
    """Two seeds 0 and 0.4 above the baseline: means 0, 0.2, 0.2, 0.4, each in a quarter."""
    base = seeded(*[sweep([(1, 0.1), (100, 0.1)])] * 2)
    spread = seeded(sweep([(1, 0.1), (100, 0.1)]), sweep([(1, 0.5), (100, 0.5)]))
    found = dominance(spread, base, draws=4000)
    assert found.p_dominance == pytest.approx(0.75, abs=0.03)
    assert found.min_gap_se == pytest.approx(0.4 / math.sqrt(8), rel=0.05)
    assert found.mean_gap_se == pytest.approx(0.4 / math.sqrt(8), rel=0.05)
    assert found.p_reason == ""
    tilted = seeded(sweep([(1, 0.1), (100, 0.1)]), sweep([(1, 0.1), (100, 0.5)]))
    found = dominance(tilted, base, draws=4000)
    assert (found.p_dominance, found.min_gap_se) == (0, pytest.approx(0, abs=1e-12))
    assert found.mean_gap_se == pytest.approx(0.2 / math.sqrt(8), rel=0.05)
