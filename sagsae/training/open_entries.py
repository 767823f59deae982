"""Compiled loops over the entries of a code whose gate is open, see `sagsae.training.kernels`.

With L0 of H latents active, decoding, its backward and both weight gradients need L0 / H of their
dense arithmetic. Entries are kept row by row; the weight gradients visit them latent by latent.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sagsae.training.kernels import OPTIONS, narrow, widen


@njit(**OPTIONS)
def count_open(u, sides, first, last, counts):
    """Open entries of rows [first, last) of ``u`` [B, H], into ``counts`` [B]."""
    for i in range(first, last):
        n = 0
        for j in range(u.shape[1]):
            x = widen(u[i, j])
            n += (not x <= sides.theta_pos[j]) | (not -x <= sides.theta_neg[j])  # NaN counts
        counts[i] = n


@njit(**OPTIONS)
def fill_open(u, sides, starts, first, last, latents, values, z, a):
    """The open entries of rows [first, last), row by row: latent, u, code and auxiliary code.

    Args:
        starts: [B + 1] where each row's entries begin.
        latents, values, z, a: [n], filled.

    Returns:
        Sum of p, and how many z are not zero.
    """
    penalty, alive, zero = 0.0, 0, sides.c_pos.dtype.type(0)
    for i in range(first, last):
        e = starts[i]
        for j in range(u.shape[1]):
            x = widen(u[i, j])
            if not x <= sides.theta_pos[j]:
                p = x - sides.theta_pos[j]
                m = max(x * sides.gain_pos[j] + sides.c_pos[j], zero)
                z[e], a[e] = m, p
            elif not -x <= sides.theta_neg[j]:
                p = -x - sides.theta_neg[j]
                m = max(-x * sides.gain_neg[j] + sides.c_neg[j], zero)
                z[e], a[e] = -m, -p
            else:
                continue
            latents[e], values[e] = j, x
            penalty += p
            alive += m > 0
            e += 1
    return penalty, alive


@njit(**OPTIONS)
def rows_on_open(W, x, starts, latents, z, a, first, last, scale, g, column_sums, dz, da):
    """Reconstruct rows [first, last) from their open entries, and go back to the codes.

    Args:
        W: [H, d] decoder.
        x: [B, d] centred activations.
        starts, latents, z, a: the open entries.
        scale: 2 / B.
        g: [B, d], receives the gradient of the reconstruction loss at the reconstruction.
        column_sums: [d], added to: the same summed over the rows.
        dz, da: [n], receive the gradients at the codes.

    Returns:
        Sums of |x - x_hat|^2 and |x - x_aux|^2.
    """
    d, zero = W.shape[1], x.dtype.type(0)
    main, aux = np.empty_like(x[0]), np.empty_like(x[0])
    total, total_aux = 0.0, 0.0
    for i in range(first, last):
        for k in range(d):
            main[k] = -x[i, k]
            aux[k] = -x[i, k]
        e, end = starts[i], starts[i + 1]
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
            aux[k] *= scale
            g[i, k] = narrow(main[k], g)
            column_sums[k] += main[k]
        total += square
        total_aux += square_aux
        e = starts[i]
        while e + 2 <= end:
            w0, w1 = W[latents[e]], W[latents[e + 1]]
            s0, s1, t0, t1 = zero, zero, zero, zero
            for k in range(d):
                v0, v1 = widen(w0[k]), widen(w1[k])
                s0 += main[k] * v0
                s1 += main[k] * v1
                t0 += aux[k] * v0
                t1 += aux[k] * v1
            dz[e], dz[e + 1], da[e], da[e + 1] = s0, s1, t0, t1
            e += 2
        if e < end:
            w = W[latents[e]]
            at, at_aux = zero, zero
            for k in range(d):
                wk = widen(w[k])
                at += main[k] * wk
                at_aux += aux[k] * wk
            dz[e], da[e] = at, at_aux
    return total, total_aux


@njit(**OPTIONS)
def order_by_latent(starts, latents, latent_starts, rows, entries):
    """Sort the open entries by latent, rows ascending.

    Args:
        latent_starts: [H + 1], filled: where each latent's entries begin.
        rows, entries: [n], filled: row and place of each entry, in the new order.
    """
    latent_starts[:] = 0
    for e in range(starts[-1]):
        latent_starts[latents[e] + 1] += 1
    for h in range(len(latent_starts) - 1):
        latent_starts[h + 1] += latent_starts[h]
    place = latent_starts[:-1].copy()
    for i in range(len(starts) - 1):
        for e in range(starts[i], starts[i + 1]):
            at = place[latents[e]]
            rows[at], entries[at] = i, e
            place[latents[e]] = at + 1


@njit(**OPTIONS)
def entry_gradients(sides, latent_starts, entries, values, z, dz, da, penalty, first, last, sums):
    """Gradients at u, and of the vectors, from the open entries of the latents [first, last).

    Args:
        latent_starts, entries: the order by latent.
        values, z: [n] u and the code, by row.
        dz, da: [n] gradients at the codes, by row; ``da`` receives the gradient at u.
        penalty: lambda / B.
        sums: [7, H], filled: gradients of theta, r and c, the positive side before the negative,
            and the gradient at u summed over the batch.
    """
    zero = sides.c_pos.dtype.type(0)
    for h in range(first, last):
        for j in range(7):
            sums[j, h] = zero
        for at in range(latent_starts[h], latent_starts[h + 1]):
            e = entries[at]
            positive = values[e] > sides.theta_pos[h]
            side = 0 if positive else 1
            gain = sides.gain_pos[h] if positive else sides.gain_neg[h]
            scaled = (values[e] if positive else -values[e]) * gain
            at_z = (dz[e] if positive else -dz[e]) if z[e] != 0 else zero
            at_p = (da[e] if positive else -da[e]) + penalty
            sums[side, h] -= at_p
            sums[2 + side, h] += scaled * at_z
            sums[4 + side, h] += at_z
            du = at_z * gain + at_p
            da[e] = du if positive else -du
            sums[6, h] += da[e]


@njit(**OPTIONS)
def weight_gradients(latent_starts, rows, entries, z, du, x, g, first, last, dW_enc, dW_dec):
    """Gradients of the weights of the latents [first, last) from their open entries.

    Args:
        latent_starts, rows, entries: the order by latent.
        z, du: [n] code and gradient at u, by row.
        x, g: [B, d] centred activations; gradients of the reconstruction.
        dW_enc, dW_dec: [H, d], filled (the encoder's transposed).
    """
    for h in range(first, last):
        enc, dec = dW_enc[h], dW_dec[h]
        enc[:] = 0
        dec[:] = 0
        at, end = latent_starts[h], latent_starts[h + 1]
        while at + 4 <= end:  # four entries for each pass over the sums
            g0, g1, g2, g3 = g[rows[at]], g[rows[at + 1]], g[rows[at + 2]], g[rows[at + 3]]
            x0, x1, x2, x3 = x[rows[at]], x[rows[at + 1]], x[rows[at + 2]], x[rows[at + 3]]
            e0, e1, e2, e3 = entries[at], entries[at + 1], entries[at + 2], entries[at + 3]
            z0, z1, z2, z3 = z[e0], z[e1], z[e2], z[e3]
            u0, u1, u2, u3 = du[e0], du[e1], du[e2], du[e3]
            for k in range(len(enc)):
                dec[k] += (
                    z0 * widen(g0[k]) + z1 * widen(g1[k]) + (z2 * widen(g2[k]) + z3 * widen(g3[k]))
                )
                enc[k] += (
                    u0 * widen(x0[k]) + u1 * widen(x1[k]) + (u2 * widen(x2[k]) + u3 * widen(x3[k]))
                )
            at += 4
        while at < end:
            gi, xi, ze, ue = g[rows[at]], x[rows[at]], z[entries[at]], du[entries[at]]
            for k in range(len(enc)):
                dec[k] += ze * widen(gi[k])
                enc[k] += ue * widen(xi[k])
            at += 1
