"""Compiled optimiser step of both weight matrices, one latent at a time while its gradient is hot.

What a step does to a latent's weights after their gradients are known is one pass over them: the
encoder's share of ``b_dec``'s gradient, the removal of the decoder gradient's radial part, Adam,
the unit norm, and the cast for the next batch's products. Where nothing else asks for the
gradients, they are summed on the way and never written to memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from sagsae.training.kernels import OPTIONS, narrow, widen


class Weights(NamedTuple):
    """The matrices [H, d], a latent's row each: encoder (transposed) and decoder.

    ``W`` in the master dtype, ``m`` and ``v`` Adam's moments, ``enc`` and ``dec`` the operands of
    the products. With beta1 = 0 there are no first moments: ``m`` has no rows then. ``clock`` [H]:
    step, counted from one, up to which a latent's moments are advanced. Without open entries a
    latent's gradients are zero: with beta1 = 0 its weights stay, its moments only decay, and that
    waits until it is open again.
    """

    W_enc: np.ndarray
    W_dec: np.ndarray
    m_enc: np.ndarray
    m_dec: np.ndarray
    v_enc: np.ndarray
    v_dec: np.ndarray
    enc: np.ndarray
    dec: np.ndarray
    clock: np.ndarray


class Rates(NamedTuple):
    """Adam at one step, in the master dtype but for ``step`` and ``beta2``.

    Attributes:
        step: Counted from one.
        beta1, beta2: Decays of the moments.
        fresh: 1 - beta2.
        rate: [H] learning rate / (1 - beta1^n), n a latent's steps since its moments were cleared.
        correction: [H] 1 / sqrt(1 - beta2^n).
        epsilon: Of Adam.
        scale: What gradients are multiplied by first, once they are clipped.
        unit: Whether decoder rows keep norm 1.
        tiny: Smallest norm that a row is divided by.
    """

    step: int
    beta1: np.floating
    beta2: float
    fresh: np.floating
    rate: np.ndarray
    correction: np.ndarray
    epsilon: np.floating
    scale: np.floating
    unit: bool
    tiny: np.floating


@njit(inline="always", **OPTIONS)
def _weight_gradient(found, h, x, g, enc, dec):
    """Gradients of one latent's weights from its open entries.

    Args:
        found: The open entries, ordered by latent.
        h: The latent.
        x, g: [B, d] what the encoder reads; gradients of the reconstruction.
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
    """Gradients of the weights of the latents [first, last) into rows of [H, d]."""
    for h in range(first, last):
        _weight_gradient(found, h, x, g, dW_enc[h], dW_dec[h])


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
    weights.clock[h], rate, correction = rates.step, rates.rate[h], rates.correction[h]
    radial, square = zero, zero
    for k in range(len(enc)):
        bias[k] += W_enc[k] * du_sum
        radial += W_dec[k] * dec[k]
    for k in range(len(enc)):
        v = decay * v_enc[k] + rates.fresh * (enc[k] * enc[k])
        v_enc[k] = v
        W_enc[k] -= rate * enc[k] / (np.sqrt(v) * correction + rates.epsilon)
        weights.enc[h, k] = narrow(W_enc[k], weights.enc)
    for k in range(len(enc)):
        along = dec[k] - radial * W_dec[k]
        v = decay * v_dec[k] + rates.fresh * (along * along)
        v_dec[k] = v
        w = W_dec[k] - rate * along / (np.sqrt(v) * correction + rates.epsilon)
        square += w * w
        W_dec[k] = w
    inverse = W_enc.dtype.type(1) / max(np.sqrt(square), rates.tiny)
    for k in range(len(enc)):
        W_dec[k] *= inverse
        weights.dec[h, k] = narrow(W_dec[k], weights.dec)


@njit(inline="always", **OPTIONS)
def _update_with_moments(weights, rates, h, enc, dec):
    """`_update` with first moments where there are such, rows of any norm, and no bias."""
    W_enc, W_dec, v_enc, v_dec = (
        weights.W_enc[h],
        weights.W_dec[h],
        weights.v_enc[h],
        weights.v_dec[h],
    )
    moments, one, zero = len(weights.m_enc) > 0, W_enc.dtype.type(1), W_enc.dtype.type(0)
    m_enc, m_dec = (weights.m_enc[h], weights.m_dec[h]) if moments else (enc, dec)
    decay = W_enc.dtype.type(rates.beta2 ** (rates.step - weights.clock[h]))
    weights.clock[h], rate, correction = rates.step, rates.rate[h], rates.correction[h]
    radial, square = zero, zero
    for k in range(len(enc)):
        radial += W_dec[k] * dec[k] if rates.unit else zero
    for k in range(len(enc)):
        dec[k] -= radial * W_dec[k]
        v_enc[k] = decay * v_enc[k] + rates.fresh * (enc[k] * enc[k])
        v_dec[k] = decay * v_dec[k] + rates.fresh * (dec[k] * dec[k])
    if moments:
        for k in range(len(enc)):
            m_enc[k] = rates.beta1 * m_enc[k] + (one - rates.beta1) * enc[k]
            m_dec[k] = rates.beta1 * m_dec[k] + (one - rates.beta1) * dec[k]
    for k in range(len(enc)):
        W_enc[k] -= rate * m_enc[k] / (np.sqrt(v_enc[k]) * correction + rates.epsilon)
        W_dec[k] -= rate * m_dec[k] / (np.sqrt(v_dec[k]) * correction + rates.epsilon)
        square += W_dec[k] * W_dec[k]
    inverse = one / max(np.sqrt(square), rates.tiny) if rates.unit else one
    for k in range(len(enc)):
        W_dec[k] *= inverse
        weights.enc[h, k] = narrow(W_enc[k], weights.enc)
        weights.dec[h, k] = narrow(W_dec[k], weights.dec)


@njit(**OPTIONS)
def update_on_open(weights, rates, found, x, g, sums, first, last, bias):
    """Gradients and step of the latents [first, last) from their open entries.

    Args:
        found: The open entries, ordered by latent.
        x, g: [B, d] what the encoder reads; gradients of the reconstruction.
        sums: [H, 7] as filled by `codes.rows_of_entries`.
        bias: [d], added to, see `_update`.
    """
    enc, dec = np.empty_like(weights.W_enc[0]), np.empty_like(weights.W_enc[0])
    for h in range(first, last):
        if found.latent_starts[h] < found.latent_starts[h + 1]:
            _weight_gradient(found, h, x, g, enc, dec)
            _update(weights, rates, h, enc, dec, sums[h, 6], bias)


@njit(**OPTIONS)
def update_from_memory(weights, rates, d_enc, d_dec, first, last):
    """Step of the latents [first, last) from gradients [H, d] in the master dtype."""
    enc, dec = np.empty_like(weights.W_enc[0]), np.empty_like(weights.W_enc[0])
    for h in range(first, last):
        for k in range(len(enc)):
            enc[k] = d_enc[h, k] * rates.scale
            dec[k] = d_dec[h, k] * rates.scale
        _update_with_moments(weights, rates, h, enc, dec)


@njit(**OPTIONS)
def squared_gradients(W_dec, d_enc, d_dec, unit, first, last):
    """Sum of the squares of the gradients [H, d] of the latents [first, last), without the parts
    along the rows of ``W_dec`` that unit rows leave out."""
    found, zero = 0.0, W_dec.dtype.type(0)
    for h in range(first, last):
        radial, square = zero, zero
        for k in range(W_dec.shape[1]):
            radial += W_dec[h, k] * d_dec[h, k] if unit else zero
        for k in range(W_dec.shape[1]):
            along = d_dec[h, k] - radial * W_dec[h, k]
            square += along * along + d_enc[h, k] * d_enc[h, k]
        found += square
    return found
