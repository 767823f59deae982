"""Selection against sorting, with ties, with few positive entries, with any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.training import selection
from sagsae.training.batch_selection import select_of_batch
from sagsae.training.kernels import Entries
from sagsae.training.threads import Threads


def drawn(rows: int, width: int, seed: int, coarse: bool) -> tuple[np.ndarray, np.ndarray]:
    """Products and biases; coarse ones have many equal keys."""
    rng = np.random.default_rng(seed)
    u, bias = rng.standard_normal((rows, width)), 0.3 * rng.standard_normal(width)
    return (np.round(u * 2) / 2, np.round(bias * 2) / 2) if coarse else (u, bias)


def kept_of(found, rows: int, width: int) -> np.ndarray:
    """[rows, width] what the entries hold; NaN elsewhere."""
    kept = np.full((rows, width), np.nan)
    for i in range(rows):
        part = slice(found.starts[i], found.ends[i])
        assert (np.diff(found.latents[part]) > 0).all()
        kept[i, found.latents[part]] = found.values[part]
    return kept


def first_of_largest(keys: np.ndarray, k: int) -> np.ndarray:
    """Which of some keys are kept: the k largest positive ones, the first of equal ones."""
    order = np.argsort(-keys, kind="stable")[:k]
    chosen = np.zeros(len(keys), bool)
    chosen[order] = True
    return chosen & (keys > 0)


@settings(max_examples=60)
@given(
    rows=st.integers(1, 20),
    width=st.integers(1, 300),
    share=st.floats(0.01, 1),
    seed=st.integers(0, 2**31),
    coarse=st.booleans(),
    signed=st.booleans(),
    shift=st.sampled_from([0.0, -1.5, 1.5]),
)
def test_rows_keep_their_k_largest(rows, width, share, seed, coarse, signed, shift):
    u, bias = drawn(rows, width, seed, coarse)
    bias += shift
    k = max(1, int(share * width))
    entries = Entries.of(rows, width, k, np.dtype(np.float64))
    selection.top_of_rows(u, bias, k, signed, entries, 0, rows)
    pre = u + bias
    keys = np.abs(pre) if signed else np.maximum(pre, 0)
    expected = np.where([first_of_largest(row, k) for row in keys], pre, np.nan)
    np.testing.assert_array_equal(kept_of(entries, rows, width), expected)


@settings(max_examples=60)
@given(
    rows=st.integers(1, 60),
    width=st.integers(1, 120),
    k=st.integers(1, 12),
    seed=st.integers(0, 2**31),
    coarse=st.booleans(),
    signed=st.booleans(),
    threads=st.integers(1, 3),
    spread=st.sampled_from([0.0, 4.0]),
)
def test_a_batch_keeps_its_k_b_largest(rows, width, k, seed, coarse, signed, threads, spread):
    """Rows may differ a thousandfold in size, which misleads the sample of the rows."""
    k = min(k, width)
    u, bias = drawn(rows, width, seed, coarse)
    u *= np.exp(spread * np.random.default_rng(seed).standard_normal((rows, 1)))
    entries = Entries.of(rows, width, min(width, 2 * k) + 1, np.dtype(np.float64))
    select_of_batch(u, bias, k, signed, entries, Threads(threads))
    pre = u + bias
    keys = np.abs(pre) if signed else np.maximum(pre, 0)
    chosen = first_of_largest(keys.ravel(), k * rows).reshape(rows, width)
    found = ~np.isnan(kept_of(entries, rows, width))
    level = keys[chosen].min(initial=np.inf)
    np.testing.assert_array_equal(found & (keys > level), chosen & (keys > level))
    if (keys == level).sum() <= 2 * rows:
        np.testing.assert_array_equal(found, chosen)


@pytest.mark.parametrize("signed", [False, True])
def test_entries_above_thresholds_and_no_more_than_there_is_room_for(signed):
    u, bias = drawn(30, 90, 3, False)
    lower = np.linspace(0, 2, 90)
    pre = u + bias
    expected = np.where((np.abs(pre) if signed else pre) > lower, pre, np.nan)
    entries = Entries.of(30, 90, 91, np.dtype(np.float64))
    below = lower if signed else np.full(90, np.inf)
    fits = selection.beyond(u, bias, lower, below, entries, 0, 30)
    np.testing.assert_array_equal(kept_of(entries, 30, 90), expected)
    assert fits is True
    few = Entries.of(30, 90, 2, np.dtype(np.float64))
    assert selection.beyond(u, bias, lower, below, few, 0, 30) is False


def test_near_a_threshold_products_are_made_again():
    rng = np.random.default_rng(0)
    x, W = rng.standard_normal((20, 8)), rng.standard_normal((30, 8))
    bias, threshold = 0.1 * rng.standard_normal(30), np.full(30, 1.0)
    exact = x @ W.T + bias
    rounded = np.round(exact * 8) / 8
    entries = Entries.of(20, 30, 31, np.dtype(np.float64))
    zero = np.zeros(30)
    selection.beyond(rounded - bias, bias, zero - 9, zero - 9, entries, 0, 20)
    reach = np.where(np.arange(30) % 2 == 0, 0.2, 0.0)
    selection.refine(entries, x, W, bias, threshold, reach, True, 0, 20)
    near = (np.abs(np.abs(rounded) - 1) < 0.2) & (np.arange(30) % 2 == 0)
    assert near.any()
    found = kept_of(entries, 20, 30)
    np.testing.assert_allclose(found, np.where(near, exact, rounded), rtol=1e-12, atol=1e-12)
