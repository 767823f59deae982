"""Compiled loops of codes: what opens a gate, and the way back to its pre-activations.

Every variant is a gate here, see `Gate`. Loops work on the open entries alone: with L0 of H latents
active, decoding, its backward and both weight gradients need L0 / H of their dense arithmetic.
Where that is no gain, codes and the way back are the same, and dense products lie between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from sagsae.training.kernels import OPTIONS, narrow, widen
from sagsae.training.threads import total


class Gate(NamedTuple):
    """What makes codes of pre-activations: vectors [H], and scalars.

    ``sides`` [H, 2, 3] has theta, gain and c, first of the positive side of zero, then of the
    negative one. ``pre = u + bias`` opens the side whose threshold it exceeds: the positive one
    above its theta, the negative one below -theta. With s = pre or -pre, ``p = s - theta`` and
    ``|z| = max(0, s gain + c)``. A side that never opens has an infinite theta. The penalty of an
    open entry is ``cost (on_p p + on_z |z|) + on_count``, and ``weight`` is that of the penalty in
    the loss, over B. ``band`` is the bandwidth of the kernel that estimates the gradient of a
    threshold; 0 for none.
    """

    bias: np.ndarray
    sides: np.ndarray
    cost: np.ndarray
    on_p: np.floating
    on_z: np.floating
    on_count: np.floating
    weight: np.floating
    band: np.floating


class Groups(NamedTuple):
    """Nested groups of latents: their ``ends`` [n] in latents, and ``scales`` [n], 2 / B times the
    weight of the error of each."""

    ends: np.ndarray
    scales: np.ndarray


class Rows(NamedTuple):
    """What the rows of a batch, or a thread's part of them, come to.

    Attributes:
        penalty: Summed over the rows, before its weight.
        alive: How many z are not zero.
        fired: [H] bool, which latents have z != 0.
        squares: [3] squared errors of all groups of latents but the last, of the last, and of the
            auxiliary code.
        columns: [d] gradient at the reconstruction, summed over the rows.
        sums: [H, 7] as by `rows_of_entries`.
    """

    penalty: float
    alive: int
    fired: np.ndarray
    squares: np.ndarray
    columns: np.ndarray
    sums: np.ndarray

    @classmethod
    def of_threads(cls, parts: Sequence[Rows]) -> Rows:
        """The parts together, in order."""
        return cls(
            sum(part.penalty for part in parts),
            sum(part.alive for part in parts),
            np.logical_or.reduce([part.fired for part in parts]),
            total([np.array(part.squares) for part in parts]),
            total([part.columns for part in parts]),
            total([part.sums for part in parts]),
        )


@njit(inline="always", **OPTIONS)
def _facing(gate, h, pre):
    """The side that an element faces, 0 or 1, its sign, its size there, and theta, gain and c of
    that side.

    The side is an index and a factor: signs come in no order, and no CPU foresees a branch on them.
    """
    of_latent = gate.sides[h]
    positive = not pre - of_latent[0, 0] < -pre - of_latent[1, 0]  # or NaN
    side = 1 - np.int64(positive)
    sign = gate.bias.dtype.type(1 - 2 * side)
    return side, sign, pre * sign, of_latent[side, 0], of_latent[side, 1], of_latent[side, 2]


@njit(inline="always", **OPTIONS)
def _code(gate, h, pre):
    """Code and auxiliary code of one element, their sizes, and its penalty."""
    _, sign, size, theta, gain, c = _facing(gate, h, pre)
    zero = gate.bias.dtype.type(0)
    p, m = size - theta, size * gain + c
    p = zero if p <= 0 else p  # NaN stays, and reaches the loss
    m = zero if p == 0 or m <= 0 else m
    penalty = gate.cost[h] * (gate.on_p * p + gate.on_z * m)
    penalty += gate.on_count if m != 0 else zero
    return m * sign, p * sign, m != 0, penalty


@njit(inline="always", **OPTIONS)
def _back(gate, h, pre, dz, da):
    """Gradients of one element, from those at its codes: at theta, at log gain, at c, and at pre.

    The gradient of theta is that of p, and where ``band`` is not zero the estimate of
    arXiv 2407.14435 for the jump of the code and the step of the count at theta.
    """
    side, sign, size, theta, gain, c = _facing(gate, h, pre)
    zero = gate.bias.dtype.type(0)
    scaled, at_z, at_p = size * gain, dz * sign, da * sign
    near = abs(size - theta) * 2 < gate.band
    at_edge = (
        ((theta * gain + c) * at_z + gate.on_count * gate.weight) / gate.band if near else zero
    )
    is_open = size > theta
    weight = gate.weight * gate.cost[h]
    at_p = at_p + weight * gate.on_p if is_open else zero
    at_z = at_z + weight * gate.on_z if is_open and scaled + c > 0 else zero
    return side, -at_p - at_edge, scaled * at_z, at_z, (at_z * gain + at_p) * sign


@njit(**OPTIONS)
def codes_of_entries(gate, found, first, last, fired):
    """Fill ``z`` and ``a`` of the entries of rows [first, last).

    Args:
        fired: [H] bool, set where a latent has z != 0.

    Returns:
        The penalty before its weight, and how many z are not zero.
    """
    penalty, alive = 0.0, 0
    for i in range(first, last):
        for e in range(found.starts[i], found.ends[i]):
            h = found.latents[e]
            found.z[e], found.a[e], here, cost = _code(gate, h, found.values[e])
            penalty += cost
            alive += np.int64(here)
            fired[h] |= here
    return penalty, alive


@njit(inline="always", **OPTIONS)
def _end_of_group(latents, e, last, end):
    """The first of the entries [e, last) whose latent is not before ``end``."""
    while e < last and latents[e] < end:
        e += 1
    return e


@njit(inline="always", **OPTIONS)
def _reconstruct(W, found, a, e, stop, main, aux):
    """Add the decoder rows [d] of the entries [e, stop), times their codes, to ``main`` and
    ``aux``."""
    latents, z = found.latents, found.z
    while e + 4 <= stop:  # four entries for each pass over the sums
        w0, w1 = W[latents[e]], W[latents[e + 1]]
        w2, w3 = W[latents[e + 2]], W[latents[e + 3]]
        z0, z1, z2, z3 = z[e], z[e + 1], z[e + 2], z[e + 3]
        if a is not None:
            a0, a1, a2, a3 = a[e], a[e + 1], a[e + 2], a[e + 3]
        for k in range(len(main)):
            v0, v1, v2, v3 = widen(w0[k]), widen(w1[k]), widen(w2[k]), widen(w3[k])
            main[k] += z0 * v0 + z1 * v1 + z2 * v2 + z3 * v3
            if a is not None:
                aux[k] += a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3
        e += 4
    while e < stop:
        w = W[latents[e]]
        for k in range(len(main)):
            main[k] += z[e] * widen(w[k])
            if a is not None:
                aux[k] += a[e] * widen(w[k])
        e += 1


@njit(inline="always", **OPTIONS)
def _scaled(error, scale, out):
    """The squared norm of an error [d], and ``out``: the error times ``scale``."""
    square = error.dtype.type(0)
    for k in range(len(error)):  # apart: a sum stored beside may round by where memory lies
        square += error[k] * error[k]
    for k in range(len(error)):
        out[k] = error[k] * scale
    return square


@njit(inline="always", **OPTIONS)
def _back_of_entries(gate, found, W, a, e, stop, main, aux, sums):
    """The way back to the pre-activations of the entries [e, stop), from the gradients [d] at the
    reconstruction and at the auxiliary one."""
    latents, zero = found.latents, main.dtype.type(0)
    while e + 2 <= stop:
        w0, w1 = W[latents[e]], W[latents[e + 1]]
        s0, s1, t0, t1 = zero, zero, zero, zero
        for k in range(len(main)):
            v0, v1 = widen(w0[k]), widen(w1[k])
            s0 += main[k] * v0
            s1 += main[k] * v1
            if a is not None:
                t0 += aux[k] * v0
                t1 += aux[k] * v1
        _entry_back(gate, found, e, s0, t0, sums)
        _entry_back(gate, found, e + 1, s1, t1, sums)
        e += 2
    if e < stop:
        w, s0, t0 = W[latents[e]], zero, zero
        for k in range(len(main)):
            s0 += main[k] * widen(w[k])
            if a is not None:
                t0 += aux[k] * widen(w[k])
        _entry_back(gate, found, e, s0, t0, sums)


@njit(**OPTIONS)
def rows_of_entries(gate, found, a, groups, W, x, g, first, last):
    """Reconstruct rows [first, last) from their entries, and go back to the pre-activations.

    Args:
        gate: What made the codes.
        found: The entries; ``du`` is filled.
        a: Their auxiliary codes, which reconstruct as well; None for none.
        groups: The nested groups of latents.
        W: [H, d] decoder.
        x: [B, d] activations less ``b_dec``.
        g: [n, B, d], receives the gradient at each group's part of the reconstruction.

    Returns:
        Sums of |x - x_hat|^2 of all groups but the last, of the last, and of the auxiliary codes;
        [d] the gradient at the reconstruction summed over the rows; [H, 7] sums over the rows of
        the gradients of theta, log gain and c, the positive side before the negative, and of the
        gradient at the pre-activation.
    """
    d, n = W.shape[1], len(groups.ends)
    main, aux, below = np.empty_like(x[0]), np.empty_like(x[0]), np.empty((n, d), x.dtype)
    columns, sums = np.zeros(d, x.dtype), np.zeros((len(W), 7), x.dtype)
    stops = np.empty(n + 1, np.int64)
    inner, whole, total_aux = 0.0, 0.0, 0.0
    for i in range(first, last):
        for k in range(d):
            main[k] = -x[i, k]
            aux[k] = -x[i, k]
        stops[0], stops[n] = found.starts[i], found.ends[i]
        for m in range(n):
            if m < n - 1:
                stops[m + 1] = _end_of_group(found.latents, stops[m], stops[n], groups.ends[m])
            _reconstruct(W, found, a, stops[m], stops[m + 1], main, aux)
            square = _scaled(main, groups.scales[m], below[m])
            if m < n - 1:
                inner += square
            else:
                whole += square
        if a is not None:
            total_aux += _scaled(aux, groups.scales[n - 1], aux)
        for m in range(n - 2, -1, -1):  # a group's part is in the errors of all groups after it
            for k in range(d):
                below[m, k] += below[m + 1, k]
        for m in range(n):
            for k in range(d):
                g[m, i, k] = narrow(below[m, k], g)
        for k in range(d):
            columns[k] += below[0, k]
        for m in range(n):
            _back_of_entries(gate, found, W, a, stops[m], stops[m + 1], below[m], aux, sums)
    return (inner, whole, total_aux), columns, sums


@njit(inline="always", **OPTIONS)
def _entry_back(gate, found, e, dz, da, sums):
    """`_back` of entry ``e``: its ``du``, and its share of the sums."""
    h = found.latents[e]
    side, theta, r, c, back = _back(gate, h, found.values[e], dz, da)
    sums[h, side] += theta
    sums[h, 2 + side] += r
    sums[h, 4 + side] += c
    sums[h, 6] += back
    found.du[e] = back


@njit(**OPTIONS)
def spread(found, values, first, last, out):
    """Fill rows [first, last) of ``out`` [B, H]: a value of each entry, elsewhere zero."""
    for i in range(first, last):
        out[i, :] = 0
        for e in range(found.starts[i], found.ends[i]):
            out[i, found.latents[e]] = narrow(values[e], out)


@njit(**OPTIONS)
def errors_of_rows(x, scale, first, last, g):
    """Turn rows [first, last) of ``g`` [B, d] from ``z W_dec`` to the gradient at it.

    Args:
        x: [B, d] activations less ``b_dec``.
        scale: 2 / B.
        g: Changed.

    Returns:
        The sum of the squared errors; [d] the gradients summed over the rows.
    """
    error, columns, squares = np.empty_like(x[0]), np.zeros_like(x[0]), 0.0
    for i in range(first, last):
        for k in range(len(error)):
            error[k] = widen(g[i, k]) - x[i, k]
        squares += _scaled(error, scale, error)
        for k in range(len(error)):
            columns[k] += error[k]
            g[i, k] = narrow(error[k], g)
    return squares, columns


@njit(**OPTIONS)
def back_of_rows(gate, found, dz, da, first, last):
    """Turn rows [first, last) of ``dz`` [B, H] from gradients at codes to those at pre-activations.

    Args:
        gate: What made the codes.
        found: The entries; ``du`` is filled.
        dz: Changed.
        da: [B, H] gradients at the auxiliary codes; None for none.

    Returns:
        [H, 7] sums, as by `rows_of_entries`.
    """
    sums = np.zeros((dz.shape[1], 7), gate.bias.dtype)
    for i in range(first, last):
        for e in range(found.starts[i], found.ends[i]):
            at_a = gate.bias.dtype.type(0)
            if da is not None:  # as an expression it would be thirty times slower
                at_a = widen(da[i, found.latents[e]])
            _entry_back(gate, found, e, widen(dz[i, found.latents[e]]), at_a, sums)
        dz[i, :] = 0
        for e in range(found.starts[i], found.ends[i]):
            dz[i, found.latents[e]] = narrow(found.du[e], dz)
    return sums
