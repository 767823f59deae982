"""Ranks at one L0 against a slow computation of the same, and their limits by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagsae.comparison.ranking import Standing, pooled, read_at, standings
from sagsae.comparison.sweeps import Estimate, Sweep
from tests.sagsae.comparison.samples import sweep

KS = (16.0, 32.0, 64.0, 128.0)


class TestReading:
    def test_seeds_that_have_the_two_knobs_around_the_l0_count(self):
        runs = {(k, 0): (k, math.log(k)) for k in KS}
        runs |= {(k, 1): (k, math.log(k) + 0.25) for k in (32.0, 64.0)}
        runs |= {(k, 2): (k, math.log(k) + 9) for k in (16.0, 64.0)}  # on one side alone
        found = read_at(sweep(runs), "r2", 48)
        assert found.by_seed.tolist() == pytest.approx([math.log(48), math.log(48) + 0.25])
        assert found.estimate == Estimate(mean=found.value, se=pytest.approx(0.125))

    def test_a_collapsed_seed_is_no_part_of_the_spread(self):
        """One in five of the seeds diverged: its R2 of -70 is no error of the others."""
        runs = {(k, seed): (k + seed, k + seed) for k in (32.0, 64.0) for seed in range(3)}
        sound, cells = sweep(runs), []
        for cell in sound.cells:
            fallen = (cell.lam, cell.seed) == (64.0, 2)
            cells.append(replace(cell, collapsed=("R2",) if fallen else ()))
        found = read_at(Sweep(label="A", width=100, cells=tuple(cells)), "r2", 50)
        assert read_at(sound, "r2", 50).by_seed.size == 3
        assert found.by_seed.size == 2

    def test_the_quadratic_is_through_the_three_intact_points_nearest(self):
        runs = {(k, 0): (k, math.log(k) ** 2) for k in KS[1:]} | {(16.0, 0): (16.0, -9)}
        assert read_at(sweep(runs), "r2", 60).quadratic == pytest.approx(math.log(60) ** 2)
        two = sweep({run: runs[run] for run in ((32.0, 0), (64.0, 0))})
        fallen = replace(two, cells=(*two.cells, replace(two.cells[0], lam=9, collapsed=("R2",))))
        assert read_at(fallen, "r2", 60).quadratic is None

    def test_nothing_is_extrapolated_or_made_up(self):
        found = sweep({(k, 0): (k, 0.5) for k in KS})
        with pytest.raises(ValueError, match="never extrapolated"):
            read_at(found, "r2", 131)
        with pytest.raises(ValueError, match="r2 is undefined"):
            read_at(sweep({(16.0, 0): (16.0, None), (32.0, 0): (32.0, 0.5)}), "r2", 20)


class TestPooled:
    @given(st.lists(st.lists(st.floats(-1, 1), max_size=4), max_size=5))
    def test_against_the_variances_of_each(self, samples):
        found = pooled([np.array(sample, np.float64) for sample in samples])
        several = [sample for sample in samples if len(sample) > 1]
        if not several:
            assert found is None
            return
        weights = [len(sample) - 1 for sample in several]
        variances = [float(np.var(sample, ddof=1)) for sample in several]
        assert found is not None
        assert found.sd**2 == pytest.approx(np.average(variances, weights=weights), abs=1e-12)
        assert found.sweeps == len(several)


class TestStandings:
    def test_by_hand(self):
        values, errors = np.array([0.5, 0.8, 0.79, 0.8]), np.array([0.01, 0.01, 0.0, np.nan])
        found = standings(values, errors, np.full(4, 30), np.full(4, np.nan))
        assert found == [
            Standing(rank=4, best=3, worst=4),
            Standing(rank=1, best=1, worst=3),
            Standing(rank=3, best=1, worst=3),
            Standing(rank=1, best=None, worst=None),
        ]

    def test_with_three_seeds_an_interval_is_that_of_students_t(self):
        """Four degrees of freedom: 2.776 standard errors of the difference."""
        for gap, apart in ((0.038, False), (0.04, True)):
            values, errors = np.array([0.5, 0.5 + gap]), np.full(2, 0.01)
            found = standings(values, errors, np.full(2, 2), np.full(2, np.nan))
            assert [one.best for one in found] == ([2, 1] if apart else [1, 1])

    def test_values_within_what_a_curve_moves_one_of_them_are_not_told_apart(self):
        values, quadratic = np.array([0.5, 0.6, 0.8]), np.array([0.5, 0.75, np.nan])
        found = standings(values, np.full(3, 0.01), np.full(3, 30), quadratic)
        assert [(one.best, one.worst) for one in found] == [(2, 3), (2, 3), (1, 1)]
