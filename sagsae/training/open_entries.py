"""Compiled loops over the entries of a code whose gate is open, see `sagsae.training.kernels`.

With L0 of H latents active, decoding, its backward and both weight gradients need L0 / H of their
dense arithmetic. Entries are kept row by row; the weight gradients visit them latent by latent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from sagsae.training.kernels import OPTIONS, narrow, widen

FLAGS = 8
"""Columns that are looked at together, as one 64-bit word: most hold no open entry."""


SAMPLE = 32
"""Rows after which a batch with half as many entries again as there is room for is given up."""


class Open(NamedTuple):
    """Open entries, row by row; those of row i lie from ``starts[i]`` up to ``ends[i]``.

    ``latents`` [n], ``values`` u, the code ``z`` and the auxiliary code ``a``; ``du`` receives the
    gradient at u. ``rows`` and ``entries`` list row and place of each once more, latent by latent,
    those of latent h from ``latent_starts[h]`` up to ``latent_starts[h + 1]``.
    """

    starts: np.ndarray
    ends: np.ndarray
    latents: np.ndarray
    values: np.ndarray
    z: np.ndarray
    a: np.ndarray
    du: np.ndarray
    latent_starts: np.ndarray
    rows: np.ndarray
    entries: np.ndarray


@njit(inline="always", **OPTIONS)
def _on_side(sides, h, u, positive):
    """|u| on its side, and theta, gain and c there; loaded from both, which spares a branch."""
    theta_pos, theta_neg = sides.theta_pos[h], sides.theta_neg[h]
    gain_pos, gain_neg = sides.gain_pos[h], sides.gain_neg[h]
    c_pos, c_neg = sides.c_pos[h], sides.c_neg[h]
    return (
        u if positive else -u,
        theta_pos if positive else theta_neg,
        gain_pos if positive else gain_neg,
        c_pos if positive else c_neg,
    )


@njit(**OPTIONS)
def find_open(u, sides, first, last, room, found, fired):
    """The open entries of rows [first, last) of ``u`` [B, H], into ``found``.

    Args:
        room: Entries a row that there is memory for, on average over these rows.
        fired: [H] bool, set where a latent has z != 0.

    Returns:
        Sum of p, how many z are not zero, and whether there was room; without it, the rest of
        the rows was not looked at.
    """
    penalty, alive, zero = 0.0, 0, sides.c_pos.dtype.type(0)
    width = u.shape[1]
    flags = np.zeros((width + FLAGS - 1) // FLAGS * FLAGS, np.uint8)
    words = flags.view(np.uint64)
    chosen, some = np.empty(width + FLAGS, np.int32), np.empty(len(words) + 1, np.int32)
    e, end = first * room, last * room
    for i in range(first, last):
        row, n, k = u[i], 0, 0
        for j in range(width):
            x = widen(row[j])
            flags[j] = (not x <= sides.theta_pos[j]) | (not -x <= sides.theta_neg[j])  # or NaN
        for word in range(len(words)):  # no branch that can be foreseen wrongly
            some[k] = word
            k += np.int64(words[word] != 0)
        for word in some[:k]:
            begin = np.int64(word) * FLAGS
            for j in range(begin, begin + FLAGS):
                chosen[n] = j
                n += np.int64(flags[j])
        crowded = i - first == SAMPLE and e - first * room > 1.5 * SAMPLE * room
        if crowded or e + n >= end:
            return penalty, alive, False
        found.starts[i], found.ends[i] = e, e + n
        for j in chosen[:n]:
            x = widen(row[j])
            positive = not x <= sides.theta_pos[j]
            size, theta, gain, c = _on_side(sides, j, x, positive)
            p = size - theta
            m = max(size * gain + c, zero)
            found.latents[e], found.values[e] = j, x
            found.z[e] = m if positive else -m
            found.a[e] = p if positive else -p
            penalty += p
            alive += np.int64(m > 0)
            fired[j] |= m > 0
            e += 1
    return penalty, alive, True


@njit(**OPTIONS)
def rows_on_open(W, x, sides, found, first, last, scale, auxiliary, penalty, g, columns, sums):
    """Reconstruct rows [first, last) from their open entries, and go back to the gate.

    Args:
        W: [H, d] decoder.
        x: [B, d] centred activations.
        found: The open entries; ``du`` is filled.
        scale: 2 / B.
        auxiliary: Weight of the auxiliary term: one, or zero without such a term.
        penalty: lambda / B.
        g: [B, d], receives the gradient of the reconstruction loss at the reconstruction.
        columns: [d], added to: the same summed over the rows.
        sums: [H, 7], added to: gradients of theta, r and c, the positive side before the
            negative, and the gradient at u, summed over the rows.

    Returns:
        Sums of |x - x_hat|^2 and |x - x_aux|^2.
    """
    d, zero = W.shape[1], x.dtype.type(0)
    main, aux = np.empty_like(x[0]), np.empty_like(x[0])
    latents, z, a = found.latents, found.z, found.a
    total, total_aux = 0.0, 0.0
    for i in range(first, last):
        for k in range(d):
            main[k] = -x[i, k]
            aux[k] = -x[i, k]
        e, end = found.starts[i], found.ends[i]
        while e + 4 <= end:  # four entries for each pass over the sums
            w0, w1, w2, w3 = W[latents[e]], W[latents[e + 1]], W[latents[e + 2]], W[latents[e + 3]]
            z0, z1, z2, z3 = z[e], z[e + 1], z[e + 2], z[e + 3]
            a0, a1, a2, a3 = a[e], a[e + 1], a[e + 2], a[e + 3]
            for k in range(d):
                v0, v1, v2, v3 = widen(w0[k]), widen(w1[k]), widen(w2[k]), widen(w3[k])
                main[k] += z0 * v0 + z1 * v1 + z2 * v2 + z3 * v3
                aux[k] += a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3
            e += 4
        while e < end:
            w, ze, ae = W[latents[e]], z[e], a[e]
            for k in range(d):
                wk = widen(w[k])
                main[k] += ze * wk
                aux[k] += ae * wk
            e += 1
        square, square_aux = zero, zero
        for k in range(d):
            square += main[k] * main[k]
            square_aux += aux[k] * aux[k]
            main[k] *= scale
            aux[k] *= scale * auxiliary
            g[i, k] = narrow(main[k], g)
            columns[k] += main[k]
        total += square
        total_aux += square_aux
        e = found.starts[i]
        while e + 2 <= end:
            w0, w1 = W[latents[e]], W[latents[e + 1]]
            s0, s1, t0, t1 = zero, zero, zero, zero
            for k in range(d):
                v0, v1 = widen(w0[k]), widen(w1[k])
                s0 += main[k] * v0
                s1 += main[k] * v1
                t0 += aux[k] * v0
                t1 += aux[k] * v1
            _gate_gradient(sides, found, e, s0, t0, penalty, sums)
            _gate_gradient(sides, found, e + 1, s1, t1, penalty, sums)
            e += 2
        if e < end:
            w = W[latents[e]]
            at, at_aux = zero, zero
            for k in range(d):
                wk = widen(w[k])
                at += main[k] * wk
                at_aux += aux[k] * wk
            _gate_gradient(sides, found, e, at, at_aux, penalty, sums)
    return total, total_aux


@njit(inline="always", **OPTIONS)
def _gate_gradient(sides, found, e, dz, da, penalty, sums):
    """Gradient at u of entry ``e`` from those at its codes, and its share of the vectors'."""
    zero = sides.c_pos.dtype.type(0)
    h, value = found.latents[e], found.values[e]
    positive = value > sides.theta_pos[h]
    side = 0 if positive else 1
    size, _, gain, _ = _on_side(sides, h, value, positive)
    at_z = (dz if positive else -dz) if found.z[e] != 0 else zero
    at_p = (da if positive else -da) + penalty
    sums[h, side] -= at_p
    sums[h, 2 + side] += size * gain * at_z
    sums[h, 4 + side] += at_z
    du = at_z * gain + at_p
    du = du if positive else -du
    sums[h, 6] += du
    found.du[e] = du


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
