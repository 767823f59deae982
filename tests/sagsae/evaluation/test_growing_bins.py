"""Histograms whose range grows, against NumPy's over all values at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sagsae.evaluation.growing_bins import BINS, GrowingBins

sizes = st.floats(2.0**-20, 2.0**20, width=32)


@given(st.lists(st.lists(sizes, min_size=1, max_size=30), min_size=1, max_size=5))
def test_counts_are_those_of_one_histogram(batches):
    bins = GrowingBins(3)
    for batch in batches:
        size = np.array(batch, np.float32)
        one, two = np.ones(len(size), np.int64), np.full(len(size), 2)
        bins.reach(np.array([1]), np.array([2]), size.max()[None])
        bins.add(one, two, size)
    every = np.concatenate(batches)
    reach = 2.0 ** float(bins.exponents[1, 2])
    assert reach / 2 <= every.max() < reach
    expected = np.histogram(every, BINS, (0, reach))[0]
    assert bins.counts[1, 2].tolist() == expected.tolist()
    assert bins.counts.sum() == len(every)


def test_only_ranges_that_had_values_grow():
    bins = GrowingBins(2)
    side, latent = np.array([0, 1]), np.array([0, 1])
    assert bins.reach(side, latent, np.array([0.3, 3.0])).tolist() == [False, False]
    assert bins.reach(side, latent, np.array([0.4, 5.0])).tolist() == [False, True]
    assert bins.exponents[0, 0] == -1
    assert bins.exponents[1, 1] == 3
    assert bins.bins(side, latent, np.array([0.49, 4.0]), 8).tolist() == [7, 4]
