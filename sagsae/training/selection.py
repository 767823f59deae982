"""Compiled loops that find the open entries of a batch, see `codes`.

Pre-activations are ``u + bias``. An entry is open where it exceeds a threshold, or where it is
among the k strongest of a row or of a batch. Its *key* says how strong it is: the rectified
pre-activation, or its size where latents serve both signs. Nothing is sorted: a level is narrowed
down by counting how many keys exceed it, a pass over a row that lies in the cache, until few
candidates are left.

Where several keys equal the last one that is kept, the first of them are kept, in the order of rows
and latents. So exactly as many are kept as were asked for, whatever the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sagsae.training.kernels import OPTIONS, widen

# Columns that are looked at together, as one 64-bit word: most hold no active entry.
FLAGS = 8
# Candidates among which the last one is found by comparing them with each other.
FEW = 48
# Keys that are counted in their own type, which holds such numbers exactly.
BLOCK = 1 << 14


@njit(inline="always", **OPTIONS)
def _count_in_block(keys, level):
    one, zero = keys.dtype.type(1), keys.dtype.type(0)
    found = zero
    for j in range(len(keys)):
        found += one if keys[j] > level else zero
    return np.int64(found)


@njit(inline="always", **OPTIONS)
def _count_above(keys, n, level):
    """How many of the first n keys exceed a level."""
    found = np.int64(0)
    for begin in range(0, n, BLOCK):
        found += _count_in_block(keys[begin : min(begin + BLOCK, n)], level)
    return found


@njit(inline="always", **OPTIONS)
def _bracket(keys, n, k, guess, positive):
    """Two levels, of which at least k of the first n keys exceed the lower and fewer than k the
    higher; and how many exceed each. ``positive`` is how many keys are above zero."""
    zero, half, two = keys.dtype.type(0), keys.dtype.type(0.5), keys.dtype.type(2)
    low, above_low = zero, positive
    high, above_high = guess, _count_above(keys, n, guess)
    while above_high >= k:
        low, above_low = high, above_high
        high *= two
        above_high = _count_above(keys, n, high)
    middle = half * high
    while low == zero and middle > zero:  # downwards, by halves
        above = _count_above(keys, n, middle)
        if above >= k:
            low, above_low = middle, above
        else:
            high, above_high = middle, above
            middle *= half
    return low, above_low, high, above_high


@njit(inline="always", **OPTIONS)
def _narrowed(keys, n, k, low, above_low, high, above_high):
    """The levels of `_bracket` brought together, until few keys lie between them."""
    half = keys.dtype.type(0.5)
    while above_low != k and above_low - above_high > FEW:
        middle = half * (low + high)
        if middle <= low or middle >= high:
            break
        above = _count_above(keys, n, middle)
        if above >= k:
            low, above_low = middle, above
        else:
            high, above_high = middle, above
    return low, above_low, high, above_high


@njit(inline="always", **OPTIONS)
def _last_of_few(keys, n, low, high, rest, few):
    """The ``rest``-th largest of the keys above ``low`` and up to ``high``, and how many of the
    larger ones equal it, itself among them; by comparing them with each other."""
    count = 0
    for j in range(n):
        few[count] = keys[j]
        count += np.int64((keys[j] > low) & (keys[j] <= high))
    for a in range(rest):
        best = a
        for b in range(a + 1, count):
            if few[b] > few[best]:
                best = b
        few[a], few[best] = few[best], few[a]
    level, equal = few[rest - 1], np.int64(0)
    for a in range(rest):
        equal += np.int64(few[a] == level)
    return level, equal


@njit(inline="always", **OPTIONS)
def _cut(keys, n, k, guess, few):
    """The k-th largest of the first n keys, and how many that equal it are among the k largest.

    Without an equal one to keep, any level between the k-th and the next is as good. Where no more
    than k keys are positive the level is zero.

    Args:
        guess: A positive number; the nearer to the level, the faster.
        few: Memory for n + 1 keys.
    """
    zero = keys.dtype.type(0)
    positive = _count_above(keys, n, zero)
    if positive <= k:
        return zero, np.int64(0)
    low, above_low, high, above_high = _bracket(keys, n, k, guess, positive)
    low, above_low, high, above_high = _narrowed(keys, n, k, low, above_low, high, above_high)
    if above_low == k:
        return low, np.int64(0)
    if above_low - above_high > FEW:
        return high, k - above_high  # no number lies between the two: all of them equal ``high``
    return _last_of_few(keys, n, low, high, k - above_high, few)


@njit(**OPTIONS)
def cut_of(keys, k, guess):
    """`_cut` of all keys [n]."""
    return _cut(keys, len(keys), k, guess, np.empty(len(keys) + 1, keys.dtype))


@njit(inline="always", **OPTIONS)
def _flagged(flags, words, some, chosen):
    """Write the columns whose flag is set into ``chosen``, ascending; how many there are.

    Args:
        words: The flags, `FLAGS` of them in each.
        some: Memory for a number of each word, and one more.
    """
    n, held = 0, 0
    for word in range(len(words)):  # no branch that can be foreseen wrongly
        some[held] = word
        held += np.int64(words[word] != 0)
    for word in some[:held]:
        begin = np.int64(word) * FLAGS
        for j in range(begin, begin + FLAGS):
            chosen[n] = j
            n += np.int64(flags[j])
    return n


@njit(**OPTIONS)
def top_of_rows(u, bias, k, signed, found, first, last):
    """The k entries of the largest keys of each of the rows [first, last) of ``u`` [B, H].

    Those of row i lie from i k on; fewer than k where fewer keys are positive. An entry that is not
    a number makes one of its row such.
    """
    width = u.shape[1]
    zero, guess = bias.dtype.type(0), bias.dtype.type(1)
    pre, keys, few = np.empty_like(bias), np.empty_like(bias), np.empty(width + 1, bias.dtype)
    flags = np.zeros((width + FLAGS - 1) // FLAGS * FLAGS, np.uint8)
    words = flags.view(np.uint64)
    chosen, some = np.empty(width + FLAGS, np.int32), np.empty(len(words) + 1, np.int32)
    for i in range(first, last):
        row, spoilt = u[i], zero
        for j in range(width):
            x = widen(row[j]) + bias[j]
            pre[j] = x
            size = -x if signed else zero
            keys[j] = x if x > zero else size
            spoilt += x * zero  # stays zero, or becomes NaN
        level, equal = _cut(keys, width, k, guess, few)
        guess = level if level > zero else guess
        if equal > 0:
            for j in range(width):
                flags[j] = keys[j] >= level
        else:
            for j in range(width):
                flags[j] = keys[j] > level
        n = _flagged(flags, words, some, chosen)
        e = i * k
        found.starts[i] = e
        for j in chosen[:n]:
            if equal > 0 or keys[j] > level:
                found.latents[e], found.values[e] = j, pre[j]
                equal -= np.int64(keys[j] == level)
                e += 1
        if spoilt != spoilt:
            e = max(e, i * k + 1)
            found.latents[i * k], found.values[i * k] = 0, spoilt
        found.ends[i] = e


@njit(**OPTIONS)
def beyond(u, bias, upper, lower, found, first, last):
    """The entries of rows [first, last) of ``u`` [B, H] above ``upper`` [H] or below ``-lower``.

    Args:
        lower: None where latents serve one sign: then no entry is below.

    Returns:
        Whether there was room; without it, the rest of the rows was not looked at.
    """
    width, room = u.shape[1], found.room
    pre = np.empty_like(bias)
    flags = np.zeros((width + FLAGS - 1) // FLAGS * FLAGS, np.uint8)
    words = flags.view(np.uint64)
    chosen, some = np.empty(width + FLAGS, np.int32), np.empty(len(words) + 1, np.int32)
    e, end = first * room, last * room
    for i in range(first, last):
        row = u[i]
        for j in range(width):
            x = widen(row[j]) + bias[j]
            pre[j] = x
            flags[j] = not x <= upper[j]  # or NaN
            if lower is not None:
                flags[j] |= not -x <= lower[j]
        n = _flagged(flags, words, some, chosen)
        if e + n >= end:
            return False
        found.starts[i], found.ends[i] = e, e + n
        for j in chosen[:n]:
            found.latents[e], found.values[e] = j, pre[j]
            e += 1
    return True


@njit(**OPTIONS)
def refine(found, x, W, bias, threshold, reach, signed, first, last):
    """Compute the pre-activations of rows [first, last) again that lie near their thresholds.

    Products in bfloat16 leave a grid that is coarser than the kernel of JumpReLU's estimators.

    Args:
        x: [B, d] what the encoder reads.
        W: [H, d] encoder.
        reach: [H] how near; zero for not at all.
    """
    for i in range(first, last):
        for e in range(found.starts[i], found.ends[i]):
            h, value = found.latents[e], found.values[e]
            size = -value if signed and value < 0 else value
            if abs(size - threshold[h]) < reach[h]:
                exact = bias[h]
                for k in range(x.shape[1]):
                    exact += x[i, k] * W[h, k]
                found.values[e] = exact


@njit(**OPTIONS)
def order_by_latent(found):
    """List the open entries by latent, rows ascending: ``latent_starts``, ``rows``, ``entries``."""
    latents, latent_starts = found.latents, found.latent_starts
    latent_starts[:] = 0
    for i in range(len(found.starts)):
        for e in range(found.starts[i], found.ends[i]):
            latent_starts[latents[e] + 1] += 1
    for h in range(len(latent_starts) - 1):
        latent_starts[h + 1] += latent_starts[h]
    place = latent_starts[:-1].copy()
    for i in range(len(found.starts)):
        for e in range(found.starts[i], found.ends[i]):
            at = place[latents[e]]
            found.rows[at], found.entries[at] = i, e
            place[latents[e]] = at + 1
