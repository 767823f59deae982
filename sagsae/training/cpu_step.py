"""The step on a CPU: one dense product where codes are sparse, seven where they are not.

The encoder product is always dense. Where few gates are open, everything after it runs on the open
entries alone (`sagsae.training.open_entries`); where many are, the other six products are dense as
well and the elementwise work between them is one compiled pass each.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.training import kernels, open_entries
from sagsae.training.step import Batch, Step, Terms

SPARSE_BELOW = 0.2
"""Share of open gates under which the products over open entries are the faster ones."""

T = TypeVar("T")


class Threads:
    """Shares a range of rows or latents among as many threads as PyTorch uses."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, "step") if count > 1 else None

    def share(self, total: int, work: Callable[[int, int], T]) -> list[T]:
        """``work(first, last)`` on consecutive parts of ``range(total)``; results in order."""
        if self._pool is None:
            return [work(0, total)]
        edges = [total * part // self.count for part in range(self.count + 1)]
        return list(self._pool.map(work, edges[:-1], edges[1:]))


def total(parts: list[np.ndarray]) -> np.ndarray:
    """Sum of equally shaped arrays, in order."""
    return np.sum(parts, axis=0)


def as_array(tensor: Tensor) -> np.ndarray:
    """The tensor's memory; bfloat16 as its bits in uint16."""
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


class Entries:
    """Memory for the open entries of a batch, kept from batch to batch and grown when needed."""

    def __init__(self, rows: int, width: int, dtype: np.dtype) -> None:
        self.counts = np.empty(rows, np.int64)
        self.starts = np.zeros(rows + 1, np.int64)
        self.latent_starts = np.zeros(width + 1, np.int64)
        self._floats, self._integers = np.empty((5, 0), dtype), np.empty((3, 0), np.int32)

    def lay_out(self) -> None:
        """Make room for ``counts`` entries a row."""
        np.cumsum(self.counts, out=self.starts[1:])
        if self.starts[-1] > self._floats.shape[1]:
            size = int(self.starts[-1] * 1.25)
            self._floats = np.empty((5, size), self._floats.dtype)
            self._integers = np.empty((3, size), np.int32)
        self.values, self.z, self.a, self.dz, self.da = self._floats
        self.latents, self.rows, self.entries = self._integers


class CpuStep(Step):
    """As `Step`; see this module.

    Args:
        sae: The autoencoder; its ``params`` are read, never written.
        batch_size: B; every batch has exactly this many rows.
        dtype: Operands and results of the dense products.
        sparse_below: Share of open gates under which the open entries alone are worked on. Decided
            anew from each batch, so that a resumed run decides alike.
    """

    def __init__(
        self,
        sae: Autoencoder,
        batch_size: int,
        dtype: torch.dtype,
        sparse_below: float = SPARSE_BELOW,
    ):
        super().__init__(sae, batch_size, dtype)
        self.sparse_below = sparse_below
        self.threads = Threads(torch.get_num_threads())
        self._float = as_array(torch.empty(0, dtype=self.master)).dtype
        self._entries = Entries(batch_size, sae.width, self._float)
        self._sums = np.zeros((7, sae.width), self._float)

    def _after_encoder(self, batch: Batch) -> Terms:
        sides = self._sides()
        entries, u, b = self._entries, as_array(self.u), self.batch_size
        self.threads.share(b, lambda i, j: open_entries.count_open(u, sides, i, j, entries.counts))
        if entries.counts.sum() < self.sparse_below * u.size:
            self.sparse_steps += 1
            return self._sparse(batch, sides)
        return self._dense_kernels(batch, sides)

    def _sides(self) -> kernels.Sides:
        return kernels.Sides(*map(as_array, self.sae.sides(self.sae.params)))

    def _scalar(self, value: float) -> np.generic:
        return self._float.type(value)

    def _terms(self, sums: tuple[float, float], penalty: float, alive: int) -> Terms:
        parts = (sums[0], penalty, sums[1], alive)
        return Terms(*(torch.tensor(part / self.batch_size, dtype=self.master) for part in parts))

    def _vector_gradients(self, direct: np.ndarray) -> None:
        sums = torch.from_numpy(self._sums)
        self.sae.add_side_gradients(sums[:6], self.grads)
        self._bias_gradient(torch.from_numpy(direct), sums[6])

    # Few gates are open ------------------------------------------------------------------------

    def _sparse(self, batch: Batch, sides: kernels.Sides) -> Terms:
        b, h, e, share = self.batch_size, self.sae.width, self._entries, self.threads.share
        u, x, xb = as_array(self.u), as_array(batch.centred), as_array(batch.operand)
        W_dec, g = as_array(self.W_dec), as_array(self.output_grads[:b])
        e.lay_out()
        penalties = share(
            b,
            lambda i, j: open_entries.fill_open(
                u, sides, e.starts, i, j, e.latents, e.values, e.z, e.a
            ),
        )
        scale, weight = self._scalar(2.0 / b), self._scalar(batch.lam / b)
        open_entries.order_by_latent(e.starts, e.latents, e.latent_starts, e.rows, e.entries)

        def rows(i: int, j: int) -> tuple[float, float, np.ndarray]:
            columns = np.zeros(self.sae.d, self._float)
            squares = open_entries.rows_on_open(
                W_dec, x, e.starts, e.latents, e.z, e.a, i, j, scale, g, columns, e.dz, e.da
            )
            return (*squares, columns)

        squares = share(b, rows)
        if not self.sae.auxiliary:  # computed for nothing, but such gates soon shut
            e.da[: e.starts[-1]] = 0
        dW_enc, dW_dec = as_array(self.grads["W_enc"].T), as_array(self.grads["W_dec"])

        def latents(i: int, j: int) -> None:
            entries = (e.latent_starts, e.entries, e.values, e.z, e.dz, e.da)
            open_entries.entry_gradients(sides, *entries, weight, i, j, self._sums)
            order = (e.latent_starts, e.rows, e.entries)
            open_entries.weight_gradients(*order, e.z, e.da, xb, g, i, j, dW_enc, dW_dec)

        share(h, latents)
        if batch.fired is not None:
            n = e.starts[-1]
            batch.fired[torch.from_numpy(e.latents[:n][e.z[:n] != 0]).long()] = True
        self._vector_gradients(total([part[2] for part in squares]))
        auxiliary = sum(part[1] for part in squares) if self.sae.auxiliary else 0.0
        sums = (sum(part[0] for part in squares), auxiliary)
        return self._terms(sums, sum(p for p, _ in penalties), sum(n for _, n in penalties))

    # Many gates are open -----------------------------------------------------------------------

    def _dense_kernels(self, batch: Batch, sides: kernels.Sides) -> Terms:
        b, share = self.batch_size, self.threads.share
        u, x = as_array(self.u), as_array(batch.centred)
        z, a = as_array(self.codes[:b]), as_array(self.codes[b:])
        scale, weight = self._scalar(2.0 / b), self._scalar(batch.lam / b)

        def codes(i: int, j: int) -> tuple[float, int, np.ndarray]:
            seen = np.zeros(self.sae.width, np.bool_)
            return (*kernels.codes(u, sides, i, j, z, a, seen), seen)

        found = share(b, codes)
        if batch.fired is not None:
            for part in found:
                batch.fired.logical_or_(torch.from_numpy(part[2]))
        torch.mm(self.codes[: self.decoded], self.W_dec, out=self.outputs)
        squares, columns = [], []
        for first in range(0, self.decoded, b):
            half = slice(first, first + b)
            out, grads = as_array(self.outputs[half]), as_array(self.output_grads[half])

            def residuals(
                i: int, j: int, out: np.ndarray = out, grads: np.ndarray = grads
            ) -> tuple[float, np.ndarray]:
                sums = np.zeros(self.sae.d, self._float)
                return kernels.output_gradients(out, x, scale, i, j, grads, sums), sums

            parts = share(b, residuals)
            squares.append(sum(part[0] for part in parts))
            columns.append(total([part[1] for part in parts]))
        torch.mm(self.output_grads, self.W_dec.T, out=self.code_grads[: self.decoded])
        dz, da, du = as_array(self.code_grads[:b]), as_array(self.code_grads[b:]), as_array(self.du)

        def backward(i: int, j: int) -> np.ndarray:
            sums = np.zeros_like(self._sums)
            kernels.code_gradients(u, sides, dz, da, weight, i, j, du, sums)
            return sums

        self._sums = total(share(b, backward))
        torch.mm(self.codes[:b].T, self.output_grads[:b], out=self.weight_product)
        self.grads["W_dec"].copy_(self.weight_product)
        torch.mm(self.du.T, batch.operand, out=self.weight_product)
        self.grads["W_enc"].T.copy_(self.weight_product)
        self._vector_gradients(columns[0])
        return self._terms(
            (squares[0], squares[1] if self.sae.auxiliary else 0.0),
            sum(p[0] for p in found),
            sum(p[1] for p in found),
        )
