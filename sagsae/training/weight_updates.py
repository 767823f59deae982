"""Compiled optimiser step of both weight matrices, one latent at a time while its gradient is hot.

What a step does to a latent's weights after their gradients are known is one pass over them: the
encoder's share of ``b_dec``'s gradient, the removal of the decoder gradient's radial part, Adam,
the unit norm, and the cast for the next batch's products. Gradients are never written to memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from sagsae.training.kernels import OPTIONS, narrow, widen


class Weights(NamedTuple):
    """The matrices [H, d], a latent's row each: encoder (transposed) and decoder.

    ``W`` in the master dtype, ``v`` Adam's second moments, ``enc`` and ``dec`` the operands of the
    products. ``clock`` [H]: step, counted from one, up to which a latent's moments are advanced.
    Without open entries a latent's gradients are zero: with beta1 = 0 its weights stay, its moments
    only decay, and that waits until it is open again.
    """

    W_enc: np.ndarray
    W_dec: np.ndarray
    v_enc: np.ndarray
    v_dec: np.ndarray
    enc: np.ndarray
    dec: np.ndarray
    clock: np.ndarray


class Rates(NamedTuple):
    """Adam(0, beta2) at one step, in the master dtype but for ``step`` and ``beta2``.

    Attributes:
        step: Counted from one.
        beta2: Decay of the second moments.
        fresh: 1 - beta2.
        correction: [H] 1 / sqrt(1 - beta2^n), n a latent's steps since its moments were cleared.
        learning_rate, epsilon: Of Adam.
        tiny: Smallest norm that a row is divided by.
    """

    step: int
    beta2: float
    fresh: np.floating
    correction: np.ndarray
    learning_rate: np.floating
    epsilon: np.floating
    tiny: np.floating


@njit(inline="always", **OPTIONS)
def weight_gradient(found, h, x, g, enc, dec):
    """Gradients of one latent's weights from its open entries.

    Args:
        found: The open entries, ordered by latent.
        h: The latent.
        x, g: [B, d] centred activations; gradients of the reconstruction.
        enc, dec: [d], filled.
    """
    rows, entries, z, du = found.rows, found.entries, found.z, found.du
    enc[:] = 0
    dec[:] = 0
    at, end = found.latent_starts[h], found.latent_starts[h + 1]
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


@njit(**OPTIONS)
def weight_gradients(found, x, g, first, last, dW_enc, dW_dec):
    """`weight_gradient` of the latents [first, last) into rows of [H, d]."""
    for h in range(first, last):
        weight_gradient(found, h, x, g, dW_enc[h], dW_dec[h])


@njit(inline="always", **OPTIONS)
def _update(weights, rates, h, enc, dec, du_sum, bias):
    """Step latent ``h``, whose gradients are ``enc`` and ``dec`` [d].

    Args:
        du_sum: Gradient at u summed over the batch.
        bias: [d], added to: the encoder row times ``du_sum``.
    """
    W_enc, W_dec, v_enc, v_dec = (
        weights.W_enc[h],
        weights.W_dec[h],
        weights.v_enc[h],
        weights.v_dec[h],
    )
    zero = W_enc.dtype.type(0)
    decay = W_enc.dtype.type(rates.beta2 ** (rates.step - weights.clock[h]))
    weights.clock[h], correction = rates.step, rates.correction[h]
    radial, square = zero, zero
    for k in range(len(enc)):
        bias[k] += W_enc[k] * du_sum
        radial += W_dec[k] * dec[k]
    for k in range(len(enc)):
        v = decay * v_enc[k] + rates.fresh * (enc[k] * enc[k])
        v_enc[k] = v
        W_enc[k] -= rates.learning_rate * enc[k] / (np.sqrt(v) * correction + rates.epsilon)
        weights.enc[h, k] = narrow(W_enc[k], weights.enc)
    for k in range(len(enc)):
        along = dec[k] - radial * W_dec[k]
        v = decay * v_dec[k] + rates.fresh * (along * along)
        v_dec[k] = v
        w = W_dec[k] - rates.learning_rate * along / (np.sqrt(v) * correction + rates.epsilon)
        square += w * w
        W_dec[k] = w
    inverse = W_enc.dtype.type(1) / max(np.sqrt(square), rates.tiny)
    for k in range(len(enc)):
        W_dec[k] *= inverse
        weights.dec[h, k] = narrow(W_dec[k], weights.dec)


@njit(**OPTIONS)
def update_on_open(weights, rates, found, x, g, sums, first, last, bias):
    """Gradients and step of the latents [first, last) from their open entries.

    Args:
        found: The open entries, ordered by latent.
        x, g: [B, d] centred activations; gradients of the reconstruction.
        sums: [H, 7] as filled by `open_entries.rows_on_open`.
        bias: [d], added to, see `_update`.
    """
    enc, dec = np.empty_like(weights.W_enc[0]), np.empty_like(weights.W_enc[0])
    for h in range(first, last):
        if found.latent_starts[h] < found.latent_starts[h + 1]:
            weight_gradient(found, h, x, g, enc, dec)
            _update(weights, rates, h, enc, dec, sums[h, 6], bias)


@njit(**OPTIONS)
def update_from_products(weights, rates, d_enc, d_dec, sums, first, last, bias):
    """Step of the latents [first, last) from dense gradients.

    Args:
        d_enc, d_dec: [H, d] gradients, as the products left them.
        sums: [H, 7], of which the last column is the gradient at u summed over the batch.
        bias: [d], added to, see `_update`.
    """
    enc, dec = np.empty_like(weights.W_enc[0]), np.empty_like(weights.W_enc[0])
    for h in range(first, last):
        for k in range(len(enc)):
            enc[k] = widen(d_enc[h, k])
            dec[k] = widen(d_dec[h, k])
        _update(weights, rates, h, enc, dec, sums[h, 6], bias)
