"""Comparisons of constructed sweeps whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.comparison import (
    Overlap,
    bootstrap,
    compare,
    dominance,
    matched,
    overlap,
)
from sagsae.dead_latents import dead_reduction
from sagsae.frontiers import Frontier
from sagsae.sweeps import CellResult, Estimate, Sweep

E = math.e


def sweep(points, *, label="A", width=100, dead=None, seed=0) -> Sweep:
    """One seed; ``points`` are (L0, R2), lambdas 1, 2, ... in the order given."""
    dead = dead or [0.0] * len(points)
    return Sweep(
        label=label,
        width=width,
        cells=tuple(
            CellResult(
                name=f"{label}/lam{i}_seed{seed}",
                lam=float(i),
                seed=seed,
                l0=l0,
                values={"r2": r2, "dead_fraction": d},
            )
            for i, ((l0, r2), d) in enumerate(zip(points, dead, strict=True), start=1)
        ),
    )


def seeded(*sweeps: Sweep) -> Sweep:
    """Several one-seed sweeps as the seeds of one."""
    cells = tuple(
        CellResult(name=f"{cell.name}_{s}", lam=cell.lam, seed=s, l0=cell.l0, values=cell.values)
        for s, one in enumerate(sweeps)
        for cell in one.cells
    )
    return Sweep(label=sweeps[0].label, width=sweeps[0].width, cells=cells)


l0s = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=6, unique=True)
curves = l0s.flatmap(
    lambda xs: st.lists(st.floats(-1, 1), min_size=len(xs), max_size=len(xs)).map(
        lambda ys: list(zip(xs, ys, strict=True))
    )
)

ranges = curves.filter(lambda points: len({math.log(l0) for l0, _ in points}) > 1)


class TestOverlap:
    def test_nested(self):
        inner, outer = sweep([(10, 0.5), (20, 0.6)]), sweep([(1, 0), (100, 1)])
        assert (overlap(inner, outer).lo, overlap(inner, outer).hi) == (10, 20)

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
        assert verdict.bootstrap.reason == "no overlap"
        assert verdict.reason == shared.reason

    def test_zero_l0_is_named_and_outside_every_range(self):
        some, none = sweep([(0, -0.1), (5, 0.5)]), sweep([(0, 0.0)], label="B")
        assert some.silent == ("A/lam1_seed0",)
        assert overlap(some, some).lo == 5
        assert overlap(some, none).reason == "B: no point has L0 above zero"

    @given(curves, curves)
    def test_is_symmetric(self, a, b):
        forth, back = overlap(sweep(a), sweep(b)), overlap(sweep(b), sweep(a))
        assert (forth.lo, forth.hi) == (back.lo, back.hi)


class TestFrontier:
    def test_is_linear_in_log_l0(self):
        assert sweep([(1, 0.0), (100, 1.0)]).frontier("r2").at(10) == pytest.approx(0.5)

    def test_never_extrapolates(self):
        with pytest.raises(ValueError, match="never extrapolated"):
            sweep([(1, 0.0), (100, 1.0)]).frontier("r2").at(103)

    def test_keeps_a_dip(self):
        dip = sweep([(1, 0.5), (10, 0.1), (100, 0.6)]).frontier("r2")
        assert dip.at(10) == 0.1

    def test_ties_in_l0_become_one_point_with_the_mean(self):
        tied = sweep([(10, 0.2), (10, 0.6), (100, 0.9)])
        assert [point.lam for point in tied.points] == [1.0, 2.0, 3.0]
        assert tied.frontier("r2").at(10) == pytest.approx(0.4)

    @given(curves, st.randoms(use_true_random=False))
    def test_does_not_depend_on_the_order_of_points(self, points, random):
        shuffled = random.sample(points, len(points))
        one, other = (np.array(p, dtype=float).T for p in (points, shuffled))
        a, b = Frontier.through(*one), Frontier.through(*other)
        assert a.l0.tolist() == b.l0.tolist()
        assert a.value.tolist() == b.value.tolist()

    @given(curves)
    def test_passes_through_its_points(self, points):
        frontier = sweep(points).frontier("r2")
        distinct = {math.log(l0) for l0, _ in points}
        for l0, r2 in points:
            if len(distinct) == len(points):
                assert frontier.at(l0) == pytest.approx(r2, abs=1e-9)


class TestDominance:
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

    def test_a_dip_between_the_others_points_is_seen(self):
        dipping = sweep([(1, 0.9), (9, 0.9), (10, 0.1), (11, 0.9), (100, 0.9)])
        assert dominance(dipping, sweep([(1, 0.5), (100, 0.5)])).min_gap_l0 == 10
        assert dominance(sweep([(1, 1.0), (100, 1.0)]), dipping).dominates is True

    def test_the_ends_of_the_overlap_count(self):
        falling = sweep([(1, 0.9), (100, 0.1)])
        assert dominance(falling, sweep([(2, 0.5), (5, 0.5)])).dominates is True
        assert dominance(falling, sweep([(2, 0.5), (50, 0.5)])).min_gap_l0 == 50

    def test_mean_gap_is_exact_for_known_areas(self):
        peak = sweep([(1, 0.0), (E, 1.0), (E**3, 0.0)])
        verdict = dominance(peak, sweep([(1, 0.0), (E**3, 0.0)]))
        assert verdict.mean_gap == pytest.approx(1.5 / 3)

    def test_one_point_inside_the_other_sweep_has_a_gap_and_no_dominance(self):
        verdict = dominance(sweep([(10, 0.7)]), sweep([(1, 0.0), (100, 1.0)]))
        assert verdict.min_gap == verdict.mean_gap == pytest.approx(0.2)
        assert verdict.dominates is None
        assert "a single L0, 10" in verdict.reason

    @given(ranges, st.floats(1e-3, 0.5))
    def test_a_lifted_copy_dominates_by_the_lift(self, points, lift):
        lifted = [(l0, r2 + lift) for l0, r2 in points]
        verdict = dominance(sweep(lifted), sweep(points))
        assert verdict.dominates is True
        assert verdict.min_gap == pytest.approx(lift, abs=1e-9)
        assert verdict.mean_gap == pytest.approx(lift, abs=1e-9)
        assert dominance(sweep(points), sweep(lifted)).dominates is False

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

    @given(curves, curves)
    def test_both_cannot_dominate(self, a, b):
        verdicts = dominance(sweep(a), sweep(b)), dominance(sweep(b), sweep(a))
        assert not all(verdict.dominates for verdict in verdicts)


class TestBootstrap:
    base = sweep([(1, 0.3), (100, 0.5)], label="base")

    def test_one_seed_has_a_reason(self):
        verdict = dominance(sweep([(1, 0.4), (100, 0.6)]), self.base)
        assert verdict.bootstrap.probability is None
        assert verdict.bootstrap.reason == "A has one seed"

    def test_clear_cases_are_certain(self):
        base = seeded(self.base, self.base)
        high = seeded(sweep([(1, 0.4), (100, 0.6)]), sweep([(1, 0.45), (100, 0.6)]))
        assert dominance(high, base, draws=50).bootstrap.probability == 1
        assert dominance(base, high, draws=50).bootstrap.probability == 0

    def test_one_winning_seed_of_two_against_a_fixed_baseline(self):
        """Means 0.4 (good twice), 0.3 and 0.2 against 0.31: one draw in four wins."""
        base = seeded(*[sweep([(1, 0.31), (100, 0.31)], label="base")] * 2)
        mixed = seeded(sweep([(1, 0.4), (100, 0.4)]), sweep([(1, 0.2), (100, 0.2)]))
        verdict = dominance(mixed, base, draws=4000)
        assert verdict.bootstrap.probability == pytest.approx(0.25, abs=0.03)
        assert verdict == dominance(mixed, base, draws=4000), "same seed, same answer"

    def test_the_seeds_of_a_sweep_stay_together(self):
        """One seed is good on the left, the other on the right; only the pair of both wins."""
        base = seeded(*[sweep([(1, 0.25), (100, 0.25)], label="base")] * 2)
        halves = seeded(sweep([(1, 0.4), (100, 0.2)]), sweep([(1, 0.2), (100, 0.4)]))
        assert dominance(halves, base, draws=4000).bootstrap.probability == pytest.approx(
            0.5, abs=0.03
        )

    def test_a_draw_whose_overlap_is_a_single_l0_counts_against_dominance(self):
        """One draw of four ends at L0 = 10, where the baseline starts."""
        near, far = sweep([(1, 0.5), (10, 0.5)]), sweep([(1, 0.5), (14, 0.5)])
        base = seeded(*[sweep([(10, 0.3), (100, 0.3)], label="base")] * 2)
        verdict = dominance(seeded(near, far), base, draws=4000)
        assert verdict.dominates is True
        assert verdict.bootstrap.probability == pytest.approx(0.75, abs=0.03)

    def test_unequal_seeds_have_a_reason(self):
        two = seeded(self.base, self.base)
        extra = CellResult(
            name="x", lam=1.0, seed=7, l0=1.0, values={"r2": 0.3, "dead_fraction": 0}
        )
        ragged = Sweep(label="ragged", width=100, cells=(*two.cells, extra))
        verdict = dominance(ragged, two)
        assert verdict.bootstrap.probability is None
        assert "not every lambda has the same seeds" in verdict.bootstrap.reason

    def test_standard_error_on_both_axes(self):
        point = seeded(sweep([(8, 0.2)]), sweep([(10, 0.4)]), sweep([(12, 0.6)])).points[0]
        assert (point.l0.mean, point.l0.se) == (10, pytest.approx(2 / math.sqrt(3)))
        r2 = point.values["r2"]
        assert r2 is not None
        assert (r2.mean, r2.se) == (pytest.approx(0.4), pytest.approx(0.2 / math.sqrt(3)))
        assert self.base.points[0].l0.se is None


class TestMatched:
    def test_reads_both_off_their_frontiers(self):
        found = matched(sweep([(1, 0.0), (100, 1.0)]), sweep([(5, 0.3), (20, 0.3)]), "r2", 10)
        assert found.candidate is not None
        assert found.baseline is not None
        assert found.candidate.mean == pytest.approx(0.5)
        assert found.baseline.mean == pytest.approx(0.3)
        assert found.reason == ""

    @pytest.mark.parametrize(("l0", "value"), [(4.95, 0.1), (20.3, 0.3)])
    def test_an_end_within_two_percent_counts_as_there(self, l0, value):
        found = matched(sweep([(1, 0.0), (100, 1.0)]), sweep([(5, 0.1), (20, 0.3)]), "r2", l0)
        assert found.baseline == Estimate(mean=value, se=None)
        assert found.candidate.mean == pytest.approx(math.log(l0, 100))

    @pytest.mark.parametrize("l0", [4.9, 20.41])
    def test_outside_the_overlap_is_empty_although_one_side_reaches_it(self, l0):
        found = matched(sweep([(1, 0.0), (100, 1.0)]), sweep([(5, 0.3), (20, 0.3)]), "r2", l0)
        assert (found.candidate, found.baseline) == (None, None)
        assert "outside the overlap 5 to 20" in found.reason

    def test_undefined_metric_names_the_cell(self):
        cell = CellResult(name="bad", lam=1.0, seed=0, l0=10, values={"lr": None})
        found = matched(*[Sweep(label="A", width=9, cells=(cell,))] * 2, "lr", 10)
        assert found.candidate is None
        assert found.reason == "lr is undefined for bad"


class TestDeadReduction:
    def test_geometric_mean_over_shared_lambdas(self):
        points = [(10, 0.5), (20, 0.6), (30, 0.7)]
        few = sweep(points, dead=[0.1, 0.01, 0.2], width=1000)
        many = sweep(points[:2], dead=[0.4, 0.16], width=2000)
        found = dead_reduction(few, many)
        assert found.factor == pytest.approx(8)
        assert (found.points, found.floored, found.reason) == (4, 0, "")
        assert found.left_out == 0

    def test_a_lambda_without_dead_latents_on_either_side_is_left_out(self):
        """Its ratio is that of the floors, 0.5 at H against 2H, whatever the variants do."""
        points = [(10, 0.5), (20, 0.6), (30, 0.7)]
        few = sweep(points, dead=[0.1, 0.004, 0.0], width=100)
        many = sweep(points, dead=[0.4, 0.0, 0.0], width=200)
        found = dead_reduction(few, many)
        assert found.factor == pytest.approx(4)
        assert (found.points, found.floored, found.left_out) == (2, 0, 2)
        assert found.reason == "2 of 3 lambdas left out: no dead latents on either side"

    def test_the_ceiling_is_over_the_lambdas_that_no_dead_candidate_would_leave(self):
        points = [(10, 0.5), (20, 0.6)]
        few, many = sweep(points, dead=[0.1, 0.1], width=100), sweep(points, dead=[0.4, 0.0])
        found = dead_reduction(few, many)
        assert found.factor == pytest.approx(math.sqrt(4 * 0.05))
        assert found.ceiling == pytest.approx(0.4 / 0.005)
        assert dead_reduction(few, sweep(points)).ceiling is None

    def test_floor_is_half_a_latent_of_its_own_width(self):
        points = [(10, 0.5)]
        few, many = sweep(points, dead=[0.0], width=100), sweep(points, dead=[0.5], width=200)
        found = dead_reduction(few, many)
        assert (found.factor, found.floored) == (pytest.approx(0.5 / 0.005), 1)
        assert dead_reduction(many, few).factor == pytest.approx(0.005 / 0.5)

    def test_exactly_half_a_latent_is_not_floored(self):
        points = [(10, 0.5)]
        both = [sweep(points, dead=[0.005], width=100)] * 2
        found = dead_reduction(*both)
        assert (found.floored, found.left_out, found.factor) == (0, 0, pytest.approx(1))

    def test_no_dead_latents_anywhere_says_so(self):
        points = [(10, 0.5)]
        found = dead_reduction(sweep(points, width=100), sweep(points, width=200))
        assert (found.factor, found.ceiling) == (None, None)
        assert (found.points, found.left_out) == (0, 1)
        assert found.reason == "no dead latents on either side"

    def test_no_shared_lambda(self):
        cell = CellResult(name="x", lam=9.0, seed=0, l0=1, values={"dead_fraction": 0.1})
        found = dead_reduction(Sweep(label="A", width=9, cells=(cell,)), sweep([(1, 0.5)]))
        assert (found.factor, found.reason) == (None, "no lambda in common")

    @settings(max_examples=30)
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.integers(1, 5000))
    def test_swapping_sides_inverts(self, dead, width):
        points = [(float(i + 1), 0.5) for i in range(len(dead))]
        a = sweep(points, dead=dead, width=width)
        b = sweep(points, dead=dead[::-1], width=2 * width)
        forth, back = dead_reduction(a, b), dead_reduction(b, a)
        assert forth.left_out == back.left_out
        if forth.factor is None:
            assert back.factor is None
            return
        assert forth.factor * back.factor == pytest.approx(1)
        assert forth.ceiling is None or forth.factor <= forth.ceiling * (1 + 1e-9)


class TestRefusals:
    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("where", ["l0", "r2"])
    def test_a_number_that_is_not_finite_names_the_cell(self, where, bad):
        point = (bad, 0.5) if where == "l0" else (10, bad)
        with pytest.raises(ValueError, match=r"A/lam2_seed0: (L0|r2) is -?(nan|inf)"):
            sweep([(5, 0.5), point])

    def test_negative_l0_the_same_cell_twice_and_nothing(self):
        with pytest.raises(ValueError, match="A/lam1_seed0: L0 is -1"):
            sweep([(-1, 0.5)])
        cell = sweep([(1, 0.5)]).cells[0]
        with pytest.raises(ValueError, match="same lambda and seed as A/lam1_seed0"):
            Sweep(label="A", width=9, cells=(cell, cell))
        with pytest.raises(ValueError, match="at least one cell"):
            Sweep(label="A", width=9, cells=())


def test_collapsed_cells_take_part_and_are_named():
    good = sweep([(1, 0.1), (100, 0.9)])
    fallen = CellResult(
        name="fallen",
        lam=3.0,
        seed=0,
        l0=0.5,
        values={"r2": 0.05, "dead_fraction": 0.99},
        collapsed=("R2 below 0.2",),
    )
    both = Sweep(label="A", width=100, cells=(*good.cells, fallen))
    assert both.collapsed == {"fallen": ("R2 below 0.2",)}
    assert overlap(both, both).lo == 0.5
    assert both.points[0].collapsed == ("fallen",)


class TestWholeResults:
    """Every field of each result, also those that are empty."""

    low = sweep([(1, 0.1), (E**2, 0.5)], label="L")
    high = sweep([(E, 0.2), (E**3, 0.2)], label="H")
    apart = sweep([(50, 0.3), (60, 0.4)], label="far")

    def test_overlaps(self):
        assert vars(overlap(self.low, self.high)) == {"lo": E, "hi": E**2, "reason": ""}
        reason = "the L0 ranges do not meet: L spans 1 to 7.39, far 50 to 60"
        assert vars(overlap(self.low, self.apart)) == {"lo": None, "hi": None, "reason": reason}
        reason = "the L0 ranges do not meet: far spans 50 to 60, L 1 to 7.39"
        assert overlap(self.apart, self.low).reason == reason
        silent = sweep([(0, 0.1)], label="S")
        for pair in ((silent, self.low), (self.low, silent)):
            reason = "S: no point has L0 above zero"
            assert vars(overlap(*pair)) == {"lo": None, "hi": None, "reason": reason}

    def test_an_overlap_contains_its_ends(self):
        shared = overlap(self.low, self.high)
        contained = [shared.contains(l0) for l0 in (2.6, E, 5.0, E**2, 7.6)]
        assert contained == [False, True, True, True, False]
        assert overlap(self.low, self.apart).contains(10) is False
        assert Overlap(lo=None, hi=5.0).contains(3.0) is False
        assert Overlap(lo=1.0, hi=None).contains(3.0) is False

    def test_dominance(self):
        found = dominance(self.low, self.high)
        assert vars(found) == {
            "dominates": True,
            "min_gap": pytest.approx(0.1),
            "min_gap_l0": pytest.approx(E),
            "mean_gap": pytest.approx(0.2),
            "max_gap": pytest.approx(0.3),
            "reason": "",
            "bootstrap": found.bootstrap,
        }
        assert type(found.dominates) is bool
        empty = dict.fromkeys(("probability", "min_gap_se", "mean_gap_se"))
        assert vars(found.bootstrap) == {**empty, "reason": "L has one seed"}
        none = dominance(self.low, self.apart)
        numbers = dict.fromkeys(("dominates", "min_gap", "min_gap_l0", "mean_gap", "max_gap"))
        assert vars(none) == {
            **numbers,
            "reason": overlap(self.low, self.apart).reason,
            "bootstrap": none.bootstrap,
        }
        assert vars(none.bootstrap) == {**empty, "reason": "no overlap"}
        single = dominance(sweep([(E, 0.4)]), self.low)
        assert (single.dominates, single.min_gap) == (None, pytest.approx(0.1))
        assert single.reason == ("the L0 ranges share a single L0, 2.72: dominance needs a range")

    def test_matched_values(self):
        assert vars(matched(self.low, self.high, "r2", E)) == {
            "l0": E,
            "candidate": Estimate(mean=pytest.approx(0.3), se=None),
            "baseline": Estimate(mean=0.2, se=None),
            "reason": "",
        }
        none = {"l0": 1.0, "candidate": None, "baseline": None}
        reason = "L0 = 1 is outside the overlap 2.72 to 7.39"
        assert vars(matched(self.low, self.high, "r2", 1.0)) == {**none, "reason": reason}
        apart = matched(self.low, self.apart, "r2", 1.0)
        assert vars(apart) == {**none, "reason": overlap(self.low, self.apart).reason}

    def test_a_metric_that_lacks_is_the_last_of_the_reasons(self):
        undefined = sweep([(1, None), (E**2, 0.5)], label="U")
        where = "r2 is undefined for U/lam1_seed0"
        assert matched(undefined, self.high, "r2", E).reason == where
        assert matched(self.high, undefined, "r2", E).reason == where
        assert "outside" in matched(undefined, self.high, "r2", 1.0).reason
        assert "do not meet" in matched(undefined, self.apart, "r2", 1.0).reason

    def test_dead_reductions(self):
        points = [(10, 0.5), (20, 0.6), (30, 0.7)]
        few = sweep(points, dead=[0.004, 0.2, 0.001], width=100)
        many = sweep(points, dead=[0.4, 0.001, 0.002], width=200)
        assert vars(dead_reduction(few, many)) == {
            "factor": pytest.approx(math.sqrt(0.4 / 0.005 * 0.0025 / 0.2)),
            "points": 4,
            "floored": 2,
            "left_out": 1,
            "ceiling": pytest.approx(0.4 / 0.005),
            "reason": "1 of 3 lambdas left out: no dead latents on either side",
        }
        none = {"factor": None, "points": 0, "floored": 0, "left_out": 0, "ceiling": None}
        assert vars(dead_reduction(few, sweep(points[:1], dead=[0.5]))) == {
            "factor": pytest.approx(0.5 / 0.005),
            "points": 2,
            "floored": 1,
            "left_out": 0,
            "ceiling": pytest.approx(0.5 / 0.005),
            "reason": "",
        }
        silent = sweep(points[:1])
        assert vars(dead_reduction(silent, silent)) == {
            **none,
            "left_out": 1,
            "reason": "no dead latents on either side",
        }
        other = Sweep(label="O", width=9, cells=(few.cells[2],))
        nothing = dead_reduction(sweep(points[:1]), other)
        assert vars(nothing) == {**none, "reason": "no lambda in common"}

    def test_an_undefined_dead_fraction_is_named(self):
        points = [(10, 0.5), (20, 0.6)]
        some, lacking = sweep(points, dead=[0.1, 0.2]), sweep(points, dead=[0.1, None], label="N")
        reason = "dead_fraction is undefined for N/lam2_seed0"
        for pair in ((some, lacking), (lacking, some)):
            found = dead_reduction(*pair)
            assert (found.factor, found.points, found.reason) == (None, 0, reason)
        assert dead_reduction(lacking, sweep(points[:1], dead=[0.2])).factor == pytest.approx(2)

    def test_the_dead_are_read_from_the_metric_that_is_asked_for(self):
        one, other = sweep([(10, 0.2)], dead=[0.1]), sweep([(10, 0.4)], dead=[0.8])
        assert dead_reduction(one, other).factor == pytest.approx(8)
        assert dead_reduction(one, other, "r2").factor == pytest.approx(2)


class TestCompare:
    """``compare`` hands on what it is given."""

    one = seeded(sweep([(1, 0.3), (9, 0.5)], label="A"), sweep([(1, 0.5), (9, 0.3)]))
    other = seeded(sweep([(1, 0.2), (9, 0.2)], label="B"), sweep([(1, 0.45), (9, 0.45)]))

    def test_all_parts(self):
        found = compare(self.one, self.other, matched_l0=[2, 3], draws=64, seed=5)
        assert vars(found) == {
            "candidate": self.one,
            "baseline": self.other,
            "overlap": overlap(self.one, self.other),
            "dominance": dominance(self.one, self.other, draws=64, seed=5),
            "matched": tuple(matched(self.one, self.other, "r2", l0) for l0 in (2, 3)),
            "dead_reduction": dead_reduction(self.one, self.other),
        }

    def test_what_is_not_given(self):
        found = compare(self.one, self.other)
        assert found.dominance == dominance(self.one, self.other, "r2", draws=1000, seed=0)
        assert found.dominance == dominance(self.one, self.other)
        assert found.matched == ()

    def test_the_metric_is_handed_on(self):
        found = compare(self.one, self.other, "dead_fraction", matched_l0=[2])
        assert found.dominance.min_gap == 0
        assert found.matched[0].candidate.mean == 0

    def test_draws_and_seed_make_the_bootstrap(self):
        drawn = [
            dominance(self.one, self.other, draws=9, seed=seed).bootstrap for seed in range(20)
        ]
        assert drawn[3] == bootstrap(self.one, self.other, "r2", draws=9, seed=3)
        assert len(set(drawn)) > 10
        assert all((9 * one.probability) % 1 == pytest.approx(0, abs=1e-9) for one in drawn)
        assert bootstrap(self.one, self.other, "r2") == bootstrap(
            self.one, self.other, "r2", draws=1000, seed=0
        )

    def test_metrics_that_lack_are_named_with_their_sweep(self):
        cell = CellResult(name="x", lam=1.0, seed=0, l0=1.0, values={"r2": 0.5})
        bare = Sweep(label="bare", width=9, cells=(cell,))
        with pytest.raises(ValueError, match=r"^bare: there is no dead_fraction$"):
            compare(self.one, bare)
        with pytest.raises(ValueError, match=r"^bare: there is no dead_fraction and no recall$"):
            compare(bare, self.one, "recall")


def test_draws_without_any_overlap_lose():
    """Ends 6 (once in four), 5 (twice) and 4 against starts 4.5, 4.75 (twice) and 5."""
    left = seeded(sweep([(1, 0.5), (6, 0.5)]), sweep([(1, 0.5), (4, 0.5)]))
    right = seeded(sweep([(4.5, 0.1), (90, 0.1)]), sweep([(5, 0.1), (90, 0.1)]))
    found = bootstrap(left, right, "r2", draws=4000)
    assert found.probability == pytest.approx(1 / 4 + 1 / 2 * 3 / 4, abs=0.03)
    never = bootstrap(left, sweep_of_two(50, 60), "r2", draws=3)
    assert vars(never) == {
        "probability": 0.0,
        "min_gap_se": None,
        "mean_gap_se": None,
        "reason": "no draw has an overlap",
    }


def sweep_of_two(lo: float, hi: float) -> Sweep:
    return seeded(*[sweep([(lo, 0.1), (hi, 0.1)], label="far")] * 2)


def test_a_bootstrap_agrees_with_the_exact_distribution():
    """Two seeds 0 and 0.4 above the baseline: means 0, 0.2, 0.2, 0.4, each in a quarter."""
    base = seeded(*[sweep([(1, 0.1), (100, 0.1)])] * 2)
    spread = seeded(sweep([(1, 0.1), (100, 0.1)]), sweep([(1, 0.5), (100, 0.5)]))
    found = bootstrap(spread, base, "r2", draws=4000)
    assert found.probability == pytest.approx(0.75, abs=0.03)
    assert found.min_gap_se == pytest.approx(0.4 / math.sqrt(8), rel=0.05)
    assert found.mean_gap_se == pytest.approx(0.4 / math.sqrt(8), rel=0.05)
    assert found.reason == ""
    tilted = seeded(sweep([(1, 0.1), (100, 0.1)]), sweep([(1, 0.1), (100, 0.5)]))
    found = bootstrap(tilted, base, "r2", draws=4000)
    assert (found.probability, found.min_gap_se) == (0, pytest.approx(0, abs=1e-12))
    assert found.mean_gap_se == pytest.approx(0.2 / math.sqrt(8), rel=0.05)
