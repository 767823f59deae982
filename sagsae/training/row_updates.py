"""Compiled Adam step of both matrices of an autoencoder without a gate, one latent at a time.

Gradients lie in memory, as their norm is needed first where they are clipped, and as with beta1 > 0
every latent moves at every step. All that follows is one pass: the radial part of the decoder's
gradient goes, Adam steps, rows return to unit norm, and operands of the next products are cast.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from sagsae.training.kernels import OPTIONS, narrow


class Rows(NamedTuple):
    """The matrices [H, d], a latent's row each: encoder (transposed) and decoder.

    ``W`` in the master dtype, ``grad`` its gradients, ``m`` and ``v`` Adam's moments, ``enc`` and
    ``dec`` the operands of the products. With beta1 = 0 there are no first moments: ``m`` has no
    rows then.
    """

    W_enc: np.ndarray
    W_dec: np.ndarray
    grad_enc: np.ndarray
    grad_dec: np.ndarray
    m_enc: np.ndarray
    m_dec: np.ndarray
    v_enc: np.ndarray
    v_dec: np.ndarray
    enc: np.ndarray
    dec: np.ndarray


class AdamRates(NamedTuple):
    """Adam at one step, in the master dtype.

    Attributes:
        beta1, beta2: Decays of the moments.
        rate: Learning rate over 1 - beta1^n, n counting steps from one.
        correction: 1 / sqrt(1 - beta2^n).
        epsilon: Of Adam.
        scale: What gradients are multiplied by first, once they are clipped.
        tiny: Smallest norm that a row is divided by.
    """

    beta1: np.floating
    beta2: np.floating
    rate: np.floating
    correction: np.floating
    epsilon: np.floating
    scale: np.floating
    tiny: np.floating


@njit(inline="always", **OPTIONS)
def _radial(rows, h, unit):
    """The decoder gradient's part along its row, which unit rows leave out."""
    radial = rows.W_dec.dtype.type(0)
    if unit:
        for k in range(rows.W_dec.shape[1]):
            radial += rows.W_dec[h, k] * rows.grad_dec[h, k]
    return radial


@njit(**OPTIONS)
def squared_gradients(rows, unit, first, last):
    """Sum of the squares of the gradients of the latents [first, last), without radial parts."""
    found = 0.0
    for h in range(first, last):
        radial, square = _radial(rows, h, unit), rows.W_dec.dtype.type(0)
        for k in range(rows.W_dec.shape[1]):
            along = rows.grad_dec[h, k] - radial * rows.W_dec[h, k]
            square += along * along + rows.grad_enc[h, k] * rows.grad_enc[h, k]
        found += square
    return found


@njit(inline="always", **OPTIONS)
def _moved(w, grad, m, v, rates, first_moments):
    """A weight and its moments after a step, from a gradient before it is clipped."""
    one = rates.beta2 / rates.beta2
    grad *= rates.scale
    v = rates.beta2 * v + (one - rates.beta2) * grad * grad
    along = grad
    if first_moments:
        m = rates.beta1 * m + (one - rates.beta1) * grad
        along = m
    return w - rates.rate * along / (np.sqrt(v) * rates.correction + rates.epsilon), m, v


@njit(**OPTIONS)
def step_rows(rows, rates, unit, first, last):
    """Step the latents [first, last).

    Args:
        unit: Whether decoder rows keep norm 1.
    """
    d, moments = rows.W_dec.shape[1], len(rows.m_enc) > 0
    zero, one = rows.W_dec.dtype.type(0), rows.W_dec.dtype.type(1)
    for h in range(first, last):
        radial, square = _radial(rows, h, unit), zero
        W_enc, W_dec, v_enc, v_dec = rows.W_enc[h], rows.W_dec[h], rows.v_enc[h], rows.v_dec[h]
        at = h if moments else 0
        if moments:
            m_enc, m_dec = rows.m_enc[at], rows.m_dec[at]
            for k in range(d):
                w, m_enc[k], v_enc[k] = _moved(
                    W_enc[k], rows.grad_enc[h, k], m_enc[k], v_enc[k], rates, True
                )
                W_enc[k] = w
                along = rows.grad_dec[h, k] - radial * W_dec[k]
                w, m_dec[k], v_dec[k] = _moved(W_dec[k], along, m_dec[k], v_dec[k], rates, True)
                W_dec[k] = w
                square += w * w
        else:
            for k in range(d):
                W_enc[k], _, v_enc[k] = _moved(
                    W_enc[k], rows.grad_enc[h, k], zero, v_enc[k], rates, False
                )
                along = rows.grad_dec[h, k] - radial * W_dec[k]
                w, _, v_dec[k] = _moved(W_dec[k], along, zero, v_dec[k], rates, False)
                W_dec[k] = w
                square += w * w
        inverse = one / max(np.sqrt(square), rates.tiny) if unit else one
        for k in range(d):
            W_dec[k] *= inverse
            rows.dec[h, k] = narrow(W_dec[k], rows.dec)
            rows.enc[h, k] = narrow(W_enc[k], rows.enc)
