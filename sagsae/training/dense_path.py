"""A step on a CPU where many entries are open: dense products, and compiled passes between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sagsae.autoencoders.dictionary import Dictionary
from sagsae.training import codes, kernels
from sagsae.training.codes import Gate
from sagsae.training.threads import Threads, as_array, total


class Batch(NamedTuple):
    """What every part of a step starts from.

    Attributes:
        centred: [B, d] activations less ``b_dec``, in the master dtype.
        read: [B, d] what the encoder reads, in the master dtype.
        operand: The same in the dtype of the products.
        gate: What makes codes in this step.
    """

    centred: Tensor
    read: Tensor
    operand: Tensor
    gate: Gate


class Rows(NamedTuple):
    """What the rows of a batch, or a thread's part of them, come to.

    Attributes:
        penalty: Summed over the rows, before its weight.
        alive: How many z are not zero.
        fired: [H] bool, which latents have z != 0.
        squares: [3] squared errors of all groups of latents but the last, of the last, and of the
            auxiliary code.
        columns: [d] gradient at the reconstruction, summed over the rows.
        sums: [H, 7] as by `codes.rows_of_entries`.
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


class DensePath:
    """Buffers of the path, which stay virtual memory until it is taken.

    The auxiliary code lies below the main one, as both share their products.

    Args:
        sae: The autoencoder.
        rows: B.
        dtype: Operands and results of the products.

    Attributes:
        codes: [2 B, H] code and auxiliary code of the last batch.
        output_grads: [B or 2 B, d] gradients at their reconstructions.
        d_enc, d_dec: [H, d] gradients of the matrices.
    """

    def __init__(self, sae: Dictionary, rows: int, dtype: torch.dtype):
        def buffer(*shape: int) -> Tensor:
            return torch.empty(*shape, dtype=dtype)

        d, h, self.decoded = sae.d, sae.width, rows * (1 + sae.auxiliary)
        self.codes, self.code_grads = buffer(2 * rows, h), torch.zeros(2 * rows, h, dtype=dtype)
        self.outputs, self.output_grads = buffer(self.decoded, d), buffer(self.decoded, d)
        self.du, self.d_enc, self.d_dec = buffer(rows, h), buffer(h, d), buffer(h, d)

    def __call__(self, batch: Batch, products: Tensor, W_dec: Tensor, threads: Threads) -> Rows:
        """Fill the gradients of both matrices from the encoder's products [B, H]."""
        (b, width), gate, share = products.shape, batch.gate, threads.share
        u, z, a = as_array(products), as_array(self.codes[:b]), as_array(self.codes[b:])

        def forward(i: int, j: int) -> tuple[float, int, np.ndarray]:
            seen = np.zeros(width, np.bool_)
            return (*codes.dense_codes(u, gate, i, j, z, a, seen), seen)

        made = share(b, forward)
        torch.mm(self.codes[: self.decoded], W_dec, out=self.outputs)
        halves = range(0, self.decoded, b)
        errors = [self._residuals(batch, slice(i, i + b), threads) for i in halves]
        torch.mm(self.output_grads, W_dec.T, out=self.code_grads[: self.decoded])
        dz, da, du = (as_array(v) for v in (self.code_grads[:b], self.code_grads[b:], self.du))

        def backward(i: int, j: int) -> np.ndarray:
            sums = np.zeros((7, width), gate.bias.dtype)
            codes.dense_gradients(u, gate, dz, da, i, j, du, sums)
            return sums

        sums = np.ascontiguousarray(total(share(b, backward)).T)
        torch.mm(self.codes[:b].T, self.output_grads[:b], out=self.d_dec)
        torch.mm(self.du.T, batch.operand, out=self.d_enc)
        return Rows(
            penalty=sum(part[0] for part in made),
            alive=sum(part[1] for part in made),
            fired=np.logical_or.reduce([part[2] for part in made]),
            squares=np.array([0.0, errors[0][0], sum(square for square, _ in errors[1:])]),
            columns=errors[0][1],
            sums=sums,
        )

    def _residuals(self, batch: Batch, rows: slice, threads: Threads) -> tuple[float, np.ndarray]:
        """Fill a half of ``output_grads``; the squares of its residuals, and its sums over rows."""
        x = as_array(batch.centred)
        scale = x.dtype.type(2.0 / len(x))
        out, grads = as_array(self.outputs[rows]), as_array(self.output_grads[rows])

        def part(i: int, j: int) -> tuple[float, np.ndarray]:
            sums = np.zeros(x.shape[1], x.dtype)
            return kernels.output_gradients(out, x, scale, i, j, grads, sums), sums

        parts = threads.share(len(x), part)
        return sum(square for square, _ in parts), total([sums for _, sums in parts])
