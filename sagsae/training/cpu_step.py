"""The step on a CPU: one dense product where codes are sparse, seven where they are not.

The encoder product is always dense. Where few gates are open, everything after it runs on the open
entries alone (`sagsae.training.open_entries`); where many are, the other six products are dense as
well and the elementwise work between them is one compiled pass each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from sagsae.autoencoders.gate import GatedAutoencoder
from sagsae.training import kernels, open_entries, weight_updates
from sagsae.training.open_entries import Open
from sagsae.training.step import Batch, Step, Terms


class Update(NamedTuple):
    """What the matrices' optimiser step needs, see `sagsae.training.weight_updates`."""

    weights: weight_updates.Weights
    rates: weight_updates.Rates


SPARSE_BELOW = 0.15
"""Share of open gates under which the products over open entries are the faster ones."""

T = TypeVar("T")


class Threads:
    """Shares a range of rows or latents among as many threads as PyTorch uses."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, "step") if count > 1 else None

    def edges(self, total: int) -> list[int]:
        """Where the parts of ``range(total)`` begin that `share` makes, and its end."""
        return [total * part // self.count for part in range(self.count + 1)]

    def share(self, total: int, work: Callable[[int, int], T]) -> list[T]:
        """``work(first, last)`` on consecutive parts of ``range(total)``; results in order."""
        if self._pool is None:
            return [work(0, total)]
        edges = self.edges(total)
        return list(self._pool.map(work, edges[:-1], edges[1:]))


def total(parts: list[np.ndarray]) -> np.ndarray:
    """Sum of equally shaped arrays, in order."""
    added: np.ndarray = np.sum(parts, axis=0)
    return added


def as_array(tensor: Tensor) -> np.ndarray:
    """The tensor's memory; bfloat16 as its bits in uint16."""
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


class Entries:
    """Memory for a batch's open entries, ``room`` a row on average; unused, it stays virtual."""

    def __init__(self, rows: int, width: int, room: int, dtype: np.dtype) -> None:
        size = rows * room
        starts, ends = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        latents, by_row, entries = (np.empty(size, np.int32) for _ in range(3))
        values, z, a, du = (np.empty(size, dtype) for _ in range(4))
        latent_starts = np.zeros(width + 1, np.int64)
        self.room = room
        self.found = Open(starts, ends, latents, values, z, a, du, latent_starts, by_row, entries)


class CpuStep(Step):
    """As `Step`; see this module.

    Args:
        sae: The autoencoder; its ``params`` are written by `descend` alone.
        batch_size: B; every batch has exactly this many rows.
        dtype: Operands and results of the dense products.
        sparse_below: Share of open gates under which the open entries alone are worked on. Decided
            anew from each batch, so that a resumed run decides alike.
    """

    def __init__(
        self,
        sae: GatedAutoencoder,
        batch_size: int,
        dtype: torch.dtype,
        sparse_below: float = SPARSE_BELOW,
    ):
        super().__init__(sae, batch_size, dtype)
        self.code_grads[0].zero_()  # and so its lower half stays without an auxiliary term
        self.decoded = batch_size * (1 + sae.auxiliary)
        self.threads = Threads(torch.get_num_threads())
        self._float = as_array(torch.empty(0, dtype=self.master)).dtype
        room = math.ceil(sparse_below * sae.width)
        self._entries = Entries(batch_size, sae.width, room, self._float)
        self._update: Update | None = None

    def _both(self, rows: int, columns: int) -> tuple[Tensor, ...]:
        """One buffer, the auxiliary code below the main one: both share their products."""
        return (self.u.new_empty(2 * rows, columns),)

    def descend(self, x: Tensor, lam: float, update: Update, fired: Tensor | None = None) -> Terms:
        """As ``step(x, lam, fired)``, and both weight matrices make ``update``'s step at once.

        The gradients of the other parameters are in ``grads``, those of the matrices nowhere.
        """
        self._update = update
        try:
            return self(x, lam, fired)
        finally:
            self._update = None

    def _after_encoder(self, batch: Batch) -> Terms:
        sides, u, found = self._sides(), as_array(self.u), self._entries.found

        def find(i: int, j: int) -> tuple[float, int, bool, np.ndarray]:
            seen = np.zeros(self.sae.width, np.bool_)
            return (*open_entries.find_open(u, sides, i, j, self._entries.room, found, seen), seen)

        parts = self.threads.share(self.batch_size, find) if self._entries.room else []
        if not parts or not all(fits for _, _, fits, _ in parts):
            return self._dense_kernels(batch, sides)
        self.sparse_steps += 1
        squares = self._sparse(batch, sides)
        return self._terms(batch, squares, [(p, n, seen) for p, n, _, seen in parts])

    def _sides(self) -> kernels.Sides:
        return kernels.Sides(*map(as_array, self.sae.sides(self.params)))

    def _scalar(self, value: float) -> np.generic:
        scalar: np.generic = self._float.type(value)
        return scalar

    def _terms(
        self,
        batch: Batch,
        squares: tuple[float, float],
        found: list[tuple[float, int, np.ndarray]],
    ) -> Terms:
        if batch.fired is not None:
            for _, _, seen in found:
                batch.fired.logical_or_(torch.from_numpy(seen))
        auxiliary = squares[1] if self.sae.auxiliary else 0.0
        parts = {
            "reconstruction": squares[0],
            "penalty": sum(p for p, _, _ in found),
            "auxiliary": auxiliary,
            "l0": sum(n for _, n, _ in found),
        }
        b, dtype = self.batch_size, self.master
        return Terms(**{name: torch.tensor(part / b, dtype=dtype) for name, part in parts.items()})

    def _vector_gradients(self, sums: np.ndarray, direct: np.ndarray) -> None:
        """All but those of the matrices, from sums [H, 7] over the rows and [d] of the residual."""
        by_kind = torch.from_numpy(np.ascontiguousarray(sums.T))
        self.sae.add_side_gradients(by_kind[:6], self.grads)
        if self._update is None:
            self._bias_gradient(torch.from_numpy(direct), by_kind[6])

    def _update_latents(
        self, update: Update, direct: np.ndarray, work: Callable[..., None], *args: Any
    ) -> None:
        """Step the matrices by ``work``, and give ``b_dec`` its gradient on the way."""

        def latents(i: int, j: int) -> np.ndarray:
            bias = np.zeros(self.sae.d, self._float)
            work(update.weights, update.rates, *args, i, j, bias)
            return bias

        through_encoder = total(self.threads.share(self.sae.width, latents))
        self.grads["b_dec"].copy_(torch.from_numpy(direct - through_encoder))

    # Few gates are open ------------------------------------------------------------------------

    def _sparse(self, batch: Batch, sides: kernels.Sides) -> tuple[float, float]:
        b, found, share = self.batch_size, self._entries.found, self.threads.share
        x, xb = as_array(batch.centred), as_array(batch.operand)
        W_dec, g = as_array(self.W_dec), as_array(self.output_grads[0][:b])
        scalars = tuple(map(self._scalar, (2.0 / b, float(self.sae.auxiliary), batch.lam / b)))

        def rows(i: int, j: int) -> tuple[float, float, np.ndarray, np.ndarray]:
            columns = np.zeros(self.sae.d, self._float)
            sums = np.zeros((self.sae.width, 7), self._float)
            squares = open_entries.rows_on_open(
                W_dec, x, sides, found, i, j, *scalars, g, columns, sums
            )
            return (*squares, columns, sums)

        parts = share(b, rows)
        open_entries.order_by_latent(found)
        columns, sums = total([part[2] for part in parts]), total([part[3] for part in parts])
        self._vector_gradients(sums, columns)
        if self._update is not None:
            step = weight_updates.update_on_open
            self._update_latents(self._update, columns, step, found, xb, g, sums)
        else:
            dW_enc, dW_dec = as_array(self.grads["W_enc"].T), as_array(self.grads["W_dec"])
            share(
                self.sae.width,
                lambda i, j: weight_updates.weight_gradients(found, xb, g, i, j, dW_enc, dW_dec),
            )
        return sum(part[0] for part in parts), sum(part[1] for part in parts)

    # Many gates are open -----------------------------------------------------------------------

    def _dense_kernels(self, batch: Batch, sides: kernels.Sides) -> Terms:
        b, share = self.batch_size, self.threads.share
        (both,), (grads,) = self.codes, self.code_grads
        outputs, output_grads = (
            self.outputs[0][: self.decoded],
            self.output_grads[0][: self.decoded],
        )
        u, z, a = as_array(self.u), as_array(both[:b]), as_array(both[b:])
        weight = self._scalar(batch.lam / b)

        def codes(i: int, j: int) -> tuple[float, int, np.ndarray]:
            seen = np.zeros(self.sae.width, np.bool_)
            return (*kernels.codes(u, sides, i, j, z, a, seen), seen)

        found = share(b, codes)
        torch.mm(both[: self.decoded], self.W_dec, out=outputs)
        squares, columns = self._residual_kernels(batch)
        torch.mm(output_grads, self.W_dec.T, out=grads[: self.decoded])
        dz, da, du = as_array(grads[:b]), as_array(grads[b:]), as_array(self.du)

        def backward(i: int, j: int) -> np.ndarray:
            sums = np.zeros((7, self.sae.width), self._float)
            kernels.code_gradients(u, sides, dz, da, weight, i, j, du, sums)
            return sums

        sums = np.ascontiguousarray(total(share(b, backward)).T)
        self._vector_gradients(sums, columns)
        torch.mm(both[:b].T, output_grads[:b], out=self.d_dec)
        torch.mm(self.du.T, batch.operand, out=self.d_enc)
        if self._update is not None:
            d_enc, d_dec = as_array(self.d_enc), as_array(self.d_dec)
            step = weight_updates.update_from_products
            self._update_latents(self._update, columns, step, d_enc, d_dec, sums)
        else:
            self._keep_products()
        return self._terms(batch, squares, found)

    def _residual_kernels(self, batch: Batch) -> tuple[tuple[float, float], np.ndarray]:
        """Fill ``output_grads``; squares of both residuals and the main one's sums over rows."""
        b, x, scale = self.batch_size, as_array(batch.centred), self._scalar(2.0 / self.batch_size)
        squares, columns = [0.0, 0.0], []
        for half in range(self.decoded // b):
            rows = slice(half * b, (half + 1) * b)
            out, grads = as_array(self.outputs[0][rows]), as_array(self.output_grads[0][rows])

            def residuals(
                i: int, j: int, out: np.ndarray = out, grads: np.ndarray = grads
            ) -> tuple[float, np.ndarray]:
                sums = np.zeros(self.sae.d, self._float)
                return kernels.output_gradients(out, x, scale, i, j, grads, sums), sums

            parts = self.threads.share(b, residuals)
            squares[half] = sum(part[0] for part in parts)
            columns.append(total([part[1] for part in parts]))
        return (squares[0], squares[1]), columns[0]
