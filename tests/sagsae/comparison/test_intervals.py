"""Intervals hold the truth as often as they say, by simulation; equivalence."""

from __future__ import annotations

import math

import numpy as np
import pytest

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


@pytest.mark.parametrize("n", [10, 40])
def test_rank_correlations_are_covered(n):
    """Spearman's correlation of normal variables follows from theirs."""
    rng, correlation = np.random.default_rng(0), 0.6
    x, y = rng.normal(size=(2, 2000, n))
    y = correlation * x + math.sqrt(1 - correlation**2) * y
    truth = 6 / math.pi * math.asin(correlation / 2)
    covered = np.mean([holds(rank_correlation(*pair), truth) for pair in zip(x, y, strict=True)])
    assert 0.93 < covered < 0.97


def test_too_few_points_and_constants_have_no_correlation():
    assert rank_correlation(np.arange(4.0), np.arange(4.0)).value is None
    assert rank_correlation(np.zeros(9), np.arange(9.0)).value is None
    agreed = rank_correlation(np.arange(9.0), np.arange(9.0) ** 2)
    assert (agreed.value, agreed.low) == (pytest.approx(1), None)


def test_differences_have_the_interval_of_their_seeds():
    """Student's t of two samples of three with equal spread has four degrees of freedom."""
    one = mean_difference([seeds(0.8, 0.001)], [seeds(0.79, 0.001)])
    room = 2.776445 * 0.001 * math.sqrt(2 / 3)
    assert (one.low, one.high) == (pytest.approx(0.01 - room), pytest.approx(0.01 + room))
    single = mean_difference([seeds(0.8, n=1)], [seeds(0.8)])
    assert (single.low, single.high) == (None, None)
