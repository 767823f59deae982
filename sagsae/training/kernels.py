"""Compiled loops of a training step on the CPU: all elementwise work between two products at once.

Numba compiles them when they are first called and keeps the result on disk; no C compiler is
needed. All variants share them: a gate is described by six vectors [H], see `Sides`, each one per
side of zero. Operands of products are float32, float64, or bfloat16 as its bits in uint16.

Loops run over a range of rows or latents and release the GIL, so that threads can share them; what
a thread writes, no other does. Sums over rows are made of the threads' parts, and so they round
otherwise with another number of threads.

Helpers of kernels are inlined before compilation (``inline="always"``) and lie in the file of
their callers. Otherwise each kernel's machine code holds a copy of its own, optimised otherwise,
and which one runs depends on what was loaded first; and the cache of a kernel, which looks at the
date of its own file alone, would not notice that a helper changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import overload

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz"},  # sums may be vectorised; NaN stays NaN
}


class Sides(NamedTuple):
    """A gate's vectors on the positive and the negative side of zero, each [H].

    u opens the positive side above ``theta_pos``, else the negative one below ``-theta_neg``. With
    s = u or -u and the vectors of that side, ``p = s - theta`` and ``m = max(0, s gain + c)``. A
    side that never opens has an infinite ``theta``.
    """

    theta_pos: np.ndarray
    theta_neg: np.ndarray
    gain_pos: np.ndarray
    gain_neg: np.ndarray
    c_pos: np.ndarray
    c_neg: np.ndarray


def widen(x):
    """A stored element as a float."""


def narrow(x, out):
    """A float as an element of the array ``out``; bfloat16 rounds to nearest, ties to even."""


@overload(widen)
def _widen(x):
    if isinstance(x, types.Integer):
        return lambda x: np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)
    return lambda x: x


@overload(narrow)
def _narrow(x, out):
    if isinstance(out.dtype, types.Integer):

        def to_bits(x, out):
            bits = np.float32(x).view(np.uint32)
            if x != x:
                return np.uint16(0x7FC0)
            rounding = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
            return np.uint16(np.uint32(bits + rounding) >> np.uint32(16))

        return to_bits
    return lambda x, out: x


@njit(**OPTIONS)
def codes(u, sides, first, last, z, a, fired):
    """Code and auxiliary code of rows [first, last) of ``u`` [B, H], written to ``z`` and ``a``.

    Args:
        fired: [H] bool, set where a latent has z != 0.

    Returns:
        Sum of p, and how many z are not zero.
    """
    penalty, alive, zero = 0.0, 0, sides.c_pos.dtype.type(0)
    for i in range(first, last):
        row_penalty = zero
        for j in range(u.shape[1]):
            x = widen(u[i, j])
            positive = x > sides.theta_pos[j]
            size = x if positive else -x
            p = size - (sides.theta_pos[j] if positive else sides.theta_neg[j])
            gain = sides.gain_pos[j] if positive else sides.gain_neg[j]
            m = max(size * gain + (sides.c_pos[j] if positive else sides.c_neg[j]), zero)
            p = zero if p <= 0 else p  # NaN stays, and reaches the loss
            m = m if p > 0 else zero
            z[i, j] = narrow(m if positive else -m, z)
            a[i, j] = narrow(p if positive else -p, a)
            row_penalty += p
            alive += m > 0
            fired[j] |= m > 0
        penalty += row_penalty
    return penalty, alive


@njit(**OPTIONS)
def code_gradients(u, sides, dz, da, penalty, first, last, du, sums):
    """Backward of `codes` over rows [first, last).

    Args:
        dz, da: [B, H] gradients at the codes.
        penalty: lambda / B.
        du: [B, H], filled.
        sums: [7, H], added to: rows as `GatedAutoencoder.code_gradients` has them.
    """
    zero = sides.c_pos.dtype.type(0)
    for i in range(first, last):
        for j in range(u.shape[1]):
            x = widen(u[i, j])
            positive = x > sides.theta_pos[j]
            size = x if positive else -x
            gain = sides.gain_pos[j] if positive else sides.gain_neg[j]
            is_open = positive or size > sides.theta_neg[j]
            scaled = size * gain
            alive = is_open and scaled + (sides.c_pos[j] if positive else sides.c_neg[j]) > 0
            at_z, at_a = widen(dz[i, j]), widen(da[i, j])
            at_z = (at_z if positive else -at_z) if alive else zero
            at_p = (at_a if positive else -at_a) + penalty if is_open else zero
            sums[0, j] -= at_p if positive else zero
            sums[1, j] -= zero if positive else at_p
            sums[2, j] += scaled * at_z if positive else zero
            sums[3, j] += zero if positive else scaled * at_z
            sums[4, j] += at_z if positive else zero
            sums[5, j] += zero if positive else at_z
            back = at_z * gain + at_p
            back = back if positive else -back
            du[i, j] = narrow(back, du)
            sums[6, j] += back


@njit(**OPTIONS)
def output_gradients(outputs, x, scale, first, last, grads, column_sums):
    """Gradient of a reconstruction loss at the decoder's output, for rows [first, last).

    Args:
        outputs: [B, d] products of a code and the decoder.
        x: [B, d] centred activations.
        scale: 2 / B.
        grads: [B, d], filled with scale (outputs - x).
        column_sums: [d], added to: the same summed over the rows.

    Returns:
        Sum of the squares of outputs - x.
    """
    total, zero = 0.0, x.dtype.type(0)
    for i in range(first, last):
        square = zero
        for k in range(x.shape[1]):
            residual = widen(outputs[i, k]) - x[i, k]
            square += residual * residual
            residual *= scale
            column_sums[k] += residual
            grads[i, k] = narrow(residual, grads)
        total += square
    return total
