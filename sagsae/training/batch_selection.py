"""The k B largest entries of a batch, from a few candidates of each row.

A level that leaves half as many candidates again is guessed from a sample of the rows; the exact
one is then found among these. Where the guess leaves too few candidates, or more than there is
memory for, it is taken from all rows. So the result never depends on the guess.
"""

from __future__ import annotations

import numpy as np

from sagsae.training import selection
from sagsae.training.kernels import Entries
from sagsae.training.threads import Threads

# Rows from which the level of the candidates is guessed.
SAMPLE = 32
# Candidates, in multiples of what is kept.
SPARE = 1.5


def select_of_batch(
    u: np.ndarray, bias: np.ndarray, k: int, signed: bool, found: Entries, threads: Threads
) -> None:
    """Fill ``found`` with the k B entries of ``u + bias`` [B, H] that have the largest keys.

    Args:
        u: [B, H] products; bfloat16 as its bits.
        bias: [H].
        k: Active latents per token, on average.
        signed: Whether negative entries count by their size.
        found: With room for more than k a row.
        threads: Share the rows.
    """
    rows, wanted = len(u), k * len(u)
    guessed = _level(u[:: max(1, rows // SAMPLE)], bias, k, signed, SPARE)
    if not _candidates(u, bias, guessed, signed, found, threads) or _held(found) < wanted:
        exact = _level(u, bias, k, signed, 1.0)
        with_equal = np.nextafter(exact, bias.dtype.type(0))
        if not _candidates(u, bias, with_equal, signed, found):
            _candidates(u, bias, exact, signed, found)
    held = found.ends - found.starts
    places = np.arange(held.sum()) + np.repeat(found.starts - held.cumsum() + held, held)
    values = found.values[places]
    keys = np.abs(values) if signed else values
    level, equal = selection.cut_of(keys, wanted, max(guessed, bias.dtype.type(1e-6)))
    kept = ~(keys <= level)  # or NaN
    kept[np.flatnonzero(keys == level)[:equal]] = True
    rows_kept, count = np.repeat(np.arange(rows), held)[kept], np.count_nonzero(kept)
    found.latents[:count], found.values[:count] = found.latents[places[kept]], values[kept]
    found.ends[:] = np.bincount(rows_kept, minlength=rows).cumsum()
    found.starts[:] = np.concatenate([[0], found.ends[:-1]])


def _held(found: Entries) -> int:
    """How many entries there are."""
    return int((found.ends - found.starts).sum())


def _level(u: np.ndarray, bias: np.ndarray, k: int, signed: bool, spare: float) -> np.floating:
    """The key that the ``spare`` k largest of a row exceed on average; zero where fewer are
    positive."""
    products = (u.astype(np.uint32) << 16).view(np.float32) if u.dtype == np.uint16 else u
    pre = products + bias
    keys = np.ascontiguousarray(np.abs(pre) if signed else np.maximum(pre, 0), bias.dtype).ravel()
    level, _ = selection.cut_of(keys, min(len(keys), int(spare * k * len(u))), bias.dtype.type(1))
    found: np.floating = bias.dtype.type(level)
    return found


def _candidates(
    u: np.ndarray,
    bias: np.ndarray,
    level: np.floating,
    signed: bool,
    found: Entries,
    threads: Threads | None = None,
) -> bool:
    """Find the entries above a level; whether there was room for those of each thread's rows, or
    without threads for those of all rows together."""
    upper = np.full_like(bias, level)
    lower = upper if signed else None

    def find(i: int, j: int) -> bool:
        fits: bool = selection.beyond(u, bias, upper, lower, found, i, j)
        return fits

    return all(threads.share(len(u), find) if threads else [find(0, len(u))])
