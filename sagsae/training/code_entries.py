"""Compiled loops over the active entries of a code without a gate, see `kernels`.

`selection` finds the entries. Here they become a code, decode, and receive their gradients. Nested
groups of latents (Matryoshka) decode one after the other, and each has a gradient of its own; of
any other variant there is one group.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from sagsae.training.kernels import OPTIONS, narrow, widen


class Activation(NamedTuple):
    """What makes a code of pre-activations: vectors [H], and what is alike for all latents.

    An entry is active where its key (see `selection`) exceeds ``opens``; its value is then the
    pre-activation, moved towards zero by ``shrinks``. The penalty grows by ``costs`` times its
    size, or by 1 where ``jumps``. ``band`` is the bandwidth of the kernel that estimates the
    gradient of ``opens`` then. ``weight`` is that of the penalty over the batch size.
    """

    opens: np.ndarray
    shrinks: np.ndarray
    costs: np.ndarray
    signed: bool
    jumps: bool
    band: np.floating
    weight: np.floating


B_ENC, THRESHOLD, SIZES = 0, 1, 2
"""Columns of sums over the rows [H, 3]: gradients of both vectors, and the sum of |z|."""


@njit(inline="always", **OPTIONS)
def _code(how, h, pre):
    """The code of one pre-activation of latent h."""
    zero = how.opens.dtype.type(0)
    negative = how.signed and pre < zero
    size = -pre if negative else pre
    if size <= how.opens[h]:
        return zero
    size -= how.shrinks[h]
    return -size if negative else size


@njit(inline="always", **OPTIONS)
def _penalised(how, found, e, sums):
    """Turn the gradient ``du`` at the code of entry e into that at its pre-activation.

    Args:
        sums: [H, 3], added to.
    """
    h, pre, at_z = found.latents[e], found.values[e], found.du[e]
    negative = how.signed and pre < 0
    size, back = (-pre, -at_z) if negative else (pre, at_z)  # with respect to |z|
    back = back * 0 if size <= how.opens[h] else back + how.weight * how.costs[h]
    sums[h, THRESHOLD] -= back
    back = -back if negative else back
    sums[h, B_ENC] += back
    sums[h, SIZES] += abs(found.z[e])
    found.du[e] = back


@njit(inline="always", **OPTIONS)
def _jumping(how, found, e, sums):
    """The same where the threshold's gradient is estimated."""
    h, pre, at_z = found.latents[e], found.values[e], found.du[e]
    negative = how.signed and pre < 0
    size, back = (-pre, -at_z) if negative else (pre, at_z)
    if 2 * abs(size - how.opens[h]) < how.band:
        sums[h, THRESHOLD] -= (how.opens[h] * back + how.weight) / how.band
    back = back * 0 if size <= how.opens[h] else back
    back = -back if negative else back
    sums[h, B_ENC] += back
    found.du[e] = back


@njit(**OPTIONS)
def code_of_entries(found, how, first, last, fired):
    """Fill ``z`` of the entries of rows [first, last).

    Args:
        fired: [H] bool, set where a latent has z != 0.

    Returns:
        The penalty before its weight, and how many z are not zero.
    """
    penalty, alive = 0.0, 0
    for i in range(first, last):
        for e in range(found.starts[i], found.ends[i]):
            h = found.latents[e]
            z = _code(how, h, found.values[e])
            found.z[e] = z
            here = z != 0
            alive += np.int64(here)
            fired[h] |= here
            penalty += np.float64(here) if how.jumps else abs(z) * how.costs[h]
    return penalty, alive


@njit(inline="always", **OPTIONS)
def _add_rows(W, latents, z, first, last, left):
    """Add the decoder rows of the entries [first, last), times their codes, to ``left`` [d]."""
    e = first
    while e + 4 <= last:  # four entries for each pass over the sums
        w0, w1 = W[latents[e]], W[latents[e + 1]]
        w2, w3 = W[latents[e + 2]], W[latents[e + 3]]
        z0, z1, z2, z3 = z[e], z[e + 1], z[e + 2], z[e + 3]
        for k in range(len(left)):
            left[k] += (
                z0 * widen(w0[k]) + z1 * widen(w1[k]) + (z2 * widen(w2[k]) + z3 * widen(w3[k]))
            )
        e += 4
    while e < last:
        w, ze = W[latents[e]], z[e]
        for k in range(len(left)):
            left[k] += ze * widen(w[k])
        e += 1


@njit(inline="always", **OPTIONS)
def _along_rows(W, latents, first, last, at, du):
    """Products of ``at`` [d] with the decoder rows of the entries [first, last), into ``du``."""
    e, zero = first, at.dtype.type(0)
    while e + 2 <= last:
        w0, w1 = W[latents[e]], W[latents[e + 1]]
        s0, s1 = zero, zero
        for k in range(len(at)):
            s0 += at[k] * widen(w0[k])
            s1 += at[k] * widen(w1[k])
        du[e], du[e + 1] = s0, s1
        e += 2
    if e < last:
        w, s0 = W[latents[e]], zero
        for k in range(len(at)):
            s0 += at[k] * widen(w[k])
        du[e] = s0


@njit(inline="always", **OPTIONS)
def _end_of_group(latents, e, last, end):
    """The first of the entries [e, last) whose latent is not before ``end``."""
    while e < last and latents[e] < end:
        e += 1
    return e


@njit(**OPTIONS)
def rows_on_entries(W, x, found, how, ends, scales, first, last, g, columns, sums):
    """Reconstruct rows [first, last) from their entries, and go back to the pre-activations.

    Args:
        W: [H, d] decoder.
        x: [B, d] activations less ``b_dec``.
        found: The entries, latents ascending in each row; ``du`` is filled.
        how: Their `Activation`.
        ends: [n] ends of the nested groups, in latents.
        scales: [n] 2 / B times the weight of each group's error.
        g: [n, B, d], receives the gradient at each group's part of the reconstruction.
        columns: [d], added to: the first of them summed over the rows.
        sums: [H, 3], added to.

    Returns:
        Sums of |x - x_hat|^2 of all groups but the last, and of the last.
    """
    d, n, zero = W.shape[1], len(ends), x.dtype.type(0)
    left, below = np.empty_like(x[0]), np.empty((n, d), x.dtype)
    latents, inner, whole = found.latents, 0.0, 0.0
    for i in range(first, last):
        for k in range(d):
            left[k] = -x[i, k]
        e, end = found.starts[i], found.ends[i]
        for m in range(n):
            stop = _end_of_group(latents, e, end, ends[m])
            _add_rows(W, latents, found.z, e, stop, left)
            e, square, scale, at = stop, zero, scales[m], below[m]
            for k in range(d):  # apart: a sum that is stored beside may round by where memory lies
                square += left[k] * left[k]
            for k in range(d):
                at[k] = left[k] * scale
            if m < n - 1:
                inner += square
            else:
                whole += square
        for m in range(n - 1, -1, -1):
            at, kept = below[m], g[m, i]
            if m < n - 1:  # a group's part is in the errors of all groups after it, too
                after = below[m + 1]
                for k in range(d):
                    at[k] += after[k]
            for k in range(d):
                kept[k] = narrow(at[k], g)
        at = below[0]
        for k in range(d):
            columns[k] += at[k]
        e = found.starts[i]
        for m in range(n):
            stop = _end_of_group(latents, e, end, ends[m])
            _along_rows(W, latents, e, stop, below[m], found.du)
            e = stop
        if how.jumps:  # apart: one loop for both takes ten times as long
            for e in range(found.starts[i], end):
                _jumping(how, found, e, sums)
        else:
            for e in range(found.starts[i], end):
                _penalised(how, found, e, sums)
    return inner, whole


@njit(**OPTIONS)
def dense_code(u, bias, how, first, last, z, fired):
    """The code of rows [first, last) of ``u`` [B, H], written to ``z``; as `code_of_entries`."""
    penalty, alive, zero = 0.0, 0, bias.dtype.type(0)
    for i in range(first, last):
        row = zero
        for j in range(u.shape[1]):
            found = _code(how, j, widen(u[i, j]) + bias[j])
            z[i, j] = narrow(found, z)
            here = found != 0
            alive += here
            fired[j] |= here
            row += abs(found) * how.costs[j]
        penalty += row
    return (np.float64(alive) if how.jumps else penalty), alive


@njit(**OPTIONS)
def dense_backward(u, bias, how, dz, first, last, du, sums):
    """Gradients at rows [first, last) of ``u`` from those at their codes ``dz`` [B, H].

    Args:
        du: [B, H], filled.
        sums: [3, H], added to.
    """
    zero, half = bias.dtype.type(0), bias.dtype.type(0.5)
    for i in range(first, last):
        for j in range(u.shape[1]):
            pre = widen(u[i, j]) + bias[j]
            negative = how.signed and pre < zero
            size = -pre if negative else pre
            at_z = widen(dz[i, j])
            along = -at_z if negative else at_z
            active = not size <= how.opens[j]
            cost = zero if how.jumps else how.weight * how.costs[j]
            back = along + cost if active else zero
            near = how.jumps and abs(size - how.opens[j]) < how.band * half
            at_edge = (how.opens[j] * along + how.weight) / how.band if near else zero
            sums[THRESHOLD, j] -= at_edge if how.jumps else back
            sums[SIZES, j] += size - how.shrinks[j] if active else zero
            back = -back if negative else back
            sums[B_ENC, j] += back
            du[i, j] = narrow(back, du)
