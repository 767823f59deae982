"""Intervals hold the truth as often as they say, by simulation; equivalence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sagsae.comparison.intervals import mean_difference, rank_correlation
from sagsae.comparison.sign_rates import sign_rate

WIDTHS = (100, 200, 400, 800)


def seeds(mean, sd=0.0, n=3):
    return mean + sd * np.array([-1.0, 0.0, 1.0])[:n]


def holds(interval, truth):
    """Whether an interval has a truth; an end that is None is open."""
    low, high = interval.low, interval.high
    return (low is None or low <= truth) and (high is None or truth <= high)


@pytest.mark.parametrize(("n", "pairs"), [(3, 1), (3, 6), (5, 1), (5, 6)])
def test_differences_of_few_seeds_are_covered(n, pairs):
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(2000, 2, pairs, n)) + np.arange(pairs)[:, None]
    covered = np.mean([holds(mean_difference(*map(list, sides)), 0) for sides in draws])
    assert 0.93 < covered < 0.97


@pytest.mark.parametrize("curved", [0.0, 0.003])
def test_rates_of_three_seeds_are_covered(curved):
    """Also where the value is no line in the logarithm of the width."""
    rng = np.random.default_rng(0)

    def value(width):
        octaves = math.log2(width / WIDTHS[0])
        return 0.6 + 0.05 * octaves - curved * octaves**2

    hits = []
    for _ in range(1000):
        one = {width: rng.normal(value(width), 0.004, 3) for width in WIDTHS}
        rate = sign_rate(one, rng.normal(value(260), 0.004, 3), 100)
        hits.append(holds(rate, 2.6))
    assert 0.93 < np.mean(hits) < 0.975


@pytest.mark.parametrize("falls", [0.2, 0.4, 0.7])
@pytest.mark.parametrize("sd", [0.0005, 0.0015, 0.004])
def test_rates_on_concave_curves_are_covered(falls, sd):
    """Each doubling of the width gains a share of what the doubling before gained, as curves of
    language models and of synthetic activations do."""
    rng, hits = np.random.default_rng(0), []

    def value(octaves):
        return 0.6 + 0.07 * (1 - falls**octaves) / (1 - falls**3)

    for octaves in rng.uniform(0.1, 2.9, 300):
        one = {width: rng.normal(value(i), sd, 3) for i, width in enumerate(WIDTHS)}
        rate = sign_rate(one, rng.normal(value(octaves), sd, 3), WIDTHS[0])
        hits.append(holds(rate, 2**octaves))
    assert np.mean(hits) > 0.93


@pytest.mark.parametrize("given", [False, True])
def test_points_of_one_cell_of_a_design_are_one_draw(given):
    """Two numbers without a relation: both have an effect of the cell, which four points share.
    An interval that took points for draws would leave out zero far more often."""
    rng, cells = np.random.default_rng(0), np.repeat(np.arange(30), 4)
    known = [np.repeat(rng.normal(size=30), 4)] if given else []
    missed = []
    for _ in range(300):
        x, y = (rng.normal(size=30)[cells] + 0.5 * rng.normal(size=120) for _ in range(2))
        x, y = (value + sum(known) for value in (x, y))
        missed.append(not holds(rank_correlation(x, y, cells.tolist(), known), 0))
    assert np.mean(missed) < 0.09


def test_partial_correlations_are_those_of_what_is_left():
    """A relation that a third number makes vanishes where that number is given; one beyond it
    stays."""
    rng, cells = np.random.default_rng(0), list(range(400))
    third, x, y = rng.normal(size=(3, 400))
    plain = rank_correlation(third + x, third + y, cells)
    partial = rank_correlation(third + x, third + y, cells, [stats.rankdata(third)])
    assert plain.low > 0.3
    assert partial.low < 0 < partial.high
    kept = rank_correlation(third + x, third + x + y, cells, [stats.rankdata(third)])
    assert kept.low > 0.5


def test_too_few_points_and_constants_have_no_correlation():
    four, nine = list(range(4)), list(range(9))
    assert rank_correlation(np.arange(4.0), np.arange(4.0), four).value is None
    assert rank_correlation(np.zeros(9), np.arange(9.0), nine).value is None
    agreed = rank_correlation(np.arange(9.0), np.arange(9.0) ** 2, nine)
    assert (agreed.value, agreed.low) == (pytest.approx(1), None)


def test_differences_have_the_interval_of_their_seeds():
    """Student's t of two samples of three with equal spread has four degrees of freedom."""
    one = mean_difference([seeds(0.8, 0.001)], [seeds(0.79, 0.001)])
    room = 2.776445 * 0.001 * math.sqrt(2 / 3)
    assert (one.low, one.high) == (pytest.approx(0.01 - room), pytest.approx(0.01 + room))
    single = mean_difference([seeds(0.8, n=1)], [seeds(0.8)])
    assert (single.low, single.high) == (None, None)
