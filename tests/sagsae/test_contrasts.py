"""Contrasts and errors over seeds, on sweeps whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.comparison import bootstrap, dominance, matched
from sagsae.contrasts import contrast, shared_runs
from sagsae.dead_latents import dead_reduction
from sagsae.frontiers import Gap
from sagsae.sweeps import CellResult, Sweep

Runs = dict[tuple[float, int], tuple[float, float | None]]
"""(lambda, seed) -> (L0, R2)."""


def sweep(runs: Runs, label: str = "A", width: int = 100, dead: float = 0.0) -> Sweep:
    return Sweep(
        label=label,
        width=width,
        cells=tuple(
            CellResult(
                name=f"{label}/lam{lam:g}_seed{seed}",
                lam=lam,
                seed=seed,
                l0=l0,
                values={"r2": r2, "dead_fraction": dead},
            )
            for (lam, seed), (l0, r2) in runs.items()
        ),
    )


def line(lift: float, seeds: int = 1, spread: float = 0.0) -> Runs:
    """R2 = lift + log10(L0) / 10 at L0 1, 10 and 100; seed s is higher by ``spread * s``."""
    return {
        (lam, seed): (10**i, lift + i / 10 + spread * seed)
        for i, lam in enumerate((3.0, 2.0, 1.0))
        for seed in range(seeds)
    }


floats = st.floats(-1, 1, allow_nan=False)
runs = st.dictionaries(
    st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.integers(0, 2)),
    st.tuples(st.floats(0.1, 500), floats),
    min_size=1,
)


class TestContrast:
    def test_known_differences(self):
        candidate = sweep(
            {(1, 0): (10, 0.5), (1, 1): (10, 0.7), (2, 0): (5, 0.3), (9, 0): (1, 0.0)}
        )
        baseline = sweep({(1, 0): (12, 0.4), (1, 1): (12, 0.4), (2, 0): (6, 0.4), (2, 1): (6, 0.0)})
        found = contrast(candidate, baseline, "r2")
        assert shared_runs(candidate, baseline) == [(1, 0), (1, 1), (2, 0)]
        assert found.pairs == 3
        assert found.mean == pytest.approx((0.1 + 0.3 - 0.1) / 3)
        assert found.mean_abs == pytest.approx(0.5 / 3)
        assert found.max_abs == pytest.approx(0.3)
        assert found.candidate == pytest.approx(1.5 / 3)
        assert found.baseline == pytest.approx(1.2 / 3)
        assert found.reason == ""
        # Seed 0 averages to 0, seed 1 to 0.3.
        assert found.se == pytest.approx(0.15)
        assert contrast(candidate, baseline, "l0").mean == pytest.approx(-5 / 3)

    def test_each_seed_is_averaged_over_its_own_lambdas(self):
        """Seeds 0, 1 and 2 average to 0, 3 and 9: deviations -4, -1 and 5, variance 21."""
        gaps = {(1, 0): -1.0, (2, 0): 1.0, (1, 1): 3.0, (1, 2): 8.0, (2, 2): 10.0}
        candidate = sweep({run: (1, gap) for run, gap in gaps.items()})
        found = contrast(candidate, sweep(dict.fromkeys(gaps, (1, 0.0))), "r2")
        assert found.se == pytest.approx(math.sqrt(21 / 3))

    def test_values_of_float32_are_averaged_in_float64(self):
        large = sweep({(1, 0): (1, np.float32(2**24)), (2, 0): (1, np.float32(1))})
        assert contrast(large, large, "r2").candidate == 2**23 + 0.5

    def test_one_seed_has_no_error(self):
        assert contrast(sweep(line(0.1)), sweep(line(0.0)), "r2").se is None

    def test_nothing_in_common_and_undefined_values_have_reasons(self):
        one, other = sweep({(1, 0): (1, 0.1)}), sweep({(1, 1): (1, 0.1)})
        blank = dict.fromkeys(("mean", "se", "mean_abs", "max_abs", "candidate", "baseline"))
        said = {"pairs": 0, **blank, "reason": "no (lambda, seed) in common"}
        assert vars(contrast(one, other, "r2")) == said
        undefined = sweep({(1, 0): (1, 0.5), (2, 0): (1, None)}, label="B")
        found = contrast(sweep({(1, 0): (1, 0.1), (2, 0): (1, 0.1)}), undefined, "r2")
        assert vars(found) == said | {"reason": "r2 is undefined for B/lam2_seed0"}

    @given(runs, runs)
    def test_swapping_sides_changes_the_sign_only(self, a, b):
        forth, back = (contrast(sweep(x), sweep(y), "r2") for x, y in ((a, b), (b, a)))
        assert forth.pairs == back.pairs
        if forth.pairs:
            assert forth.mean is not None
            assert back.mean == pytest.approx(-forth.mean)
            assert back.mean_abs == forth.mean_abs
            assert abs(forth.mean) <= forth.mean_abs + 1e-12 <= forth.max_abs + 2e-12

    @given(runs, st.floats(-0.5, 0.5))
    def test_a_lifted_copy_differs_by_the_lift(self, a, lift):
        lifted = {run: (l0, (r2 or 0.0) + lift) for run, (l0, r2) in a.items()}
        found = contrast(sweep(lifted), sweep(a), "r2")
        assert found.pairs == len(a)
        assert found.mean == pytest.approx(lift, abs=1e-9)
        assert found.max_abs == pytest.approx(abs(lift), abs=1e-9)
        assert found.se is None or found.se < 1e-9


class TestErrors:
    def test_the_error_of_a_matched_value_is_over_the_seeds_own_frontiers(self):
        candidate, baseline = sweep(line(0.5, 3, 0.01)), sweep(line(0.4, 3))
        found = matched(candidate, baseline, "r2", 10**0.5)
        assert found.candidate is not None
        assert found.baseline is not None
        assert found.candidate.mean == pytest.approx(0.56)
        assert found.candidate.se == pytest.approx(0.01 / math.sqrt(3))
        assert found.baseline.se == pytest.approx(0, abs=1e-12)

    def test_a_seed_that_does_not_reach_the_level_leaves_no_error(self):
        uneven = line(0.5, 2) | {(1.0, 1): (80, 0.69)}
        found = matched(sweep(uneven), sweep(uneven), "r2", 85)
        assert found.candidate is not None
        assert found.candidate.se is None

    def test_equal_seeds_have_gaps_without_error_and_spread_seeds_have_one(self):
        base = sweep(line(0.0, 3))
        still = bootstrap(sweep(line(0.1, 3)), base, "r2", draws=100)
        assert still.probability == 1
        assert still.min_gap_se == pytest.approx(0, abs=1e-12)
        spread = bootstrap(sweep(line(0.1, 3, 0.03)), base, "r2", draws=4000)
        # The bootstrap's deviation of a mean of three: sqrt(2/3) of the standard error.
        expected = math.sqrt(2 / 3) * 0.03 / math.sqrt(3)
        assert spread.mean_gap_se == pytest.approx(expected, rel=0.05)
        assert spread.min_gap_se == pytest.approx(expected, rel=0.05)

    def test_draws_without_overlap_count_against_dominance(self):
        """Mean L0 ranges meet; only the draws with both seeds of either side do."""
        left = {(2.0, 0): (1.0, 0.5), (1.0, 0): (2.0, 0.5), (2.0, 1): (1, 0.5), (1.0, 1): (10, 0.5)}
        right = {run: (l0 * 5.5, 0.1) for run, (l0, _) in left.items()}
        found = bootstrap(sweep(left), sweep(right), "r2", draws=2000)
        assert found.probability == pytest.approx(0.75, abs=0.04)


class TestGaps:
    @given(runs, runs)
    def test_dominance_and_its_gaps_are_antisymmetric(self, a, b):
        one, other = sweep(a), sweep(b)
        forth, back = dominance(one, other, draws=9), dominance(other, one, draws=9)
        if forth.dominates is None:
            assert back.dominates is None
            return
        assert forth.mean_gap is not None
        assert forth.max_gap is not None
        assert back.mean_gap == pytest.approx(-forth.mean_gap, abs=1e-9)
        assert back.min_gap == pytest.approx(-forth.max_gap, abs=1e-9)
        assert forth.min_gap <= forth.mean_gap + 1e-9 <= forth.max_gap + 2e-9

    @settings(max_examples=50)
    @given(runs)
    def test_a_sweep_never_dominates_itself(self, a):
        verdict = dominance(sweep(a), sweep(a), draws=9)
        assert not verdict.dominates
        assert (verdict.min_gap, verdict.max_gap) == (0, 0)

    def test_touching_ranges_have_one_gap(self):
        one = sweep({(2, 0): (1, 0.1), (1, 0): (10, 0.4)}).frontier("r2")
        other = sweep({(2, 0): (10, 0.3), (1, 0): (20, 0.4)}).frontier("r2")
        gap = Gap.between(one, other)
        assert gap is not None
        assert gap.l0.tolist() == [10]
        assert gap.mean == pytest.approx(0.1)


def test_the_ceiling_is_what_no_dead_latent_would_give():
    points = {(1.0, 0): (10.0, 0.5), (2.0, 0): (5.0, 0.4)}
    few, many = sweep(points, width=100, dead=0.1), sweep(points, width=200, dead=0.4)
    found = dead_reduction(few, many)
    assert (found.factor, found.ceiling) == (pytest.approx(4), pytest.approx(0.4 / 0.005))
    none = dead_reduction(sweep(points, width=100), many)
    assert none.factor == pytest.approx(none.ceiling)
