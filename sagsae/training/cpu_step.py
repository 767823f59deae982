"""The step on a CPU: one dense product, the encoder's, and loops over the open entries alone.

Where many entries are open, the other products are dense as well, and loops over the entries make
codes before them and go back to the pre-activations after them. Which way a batch goes follows from
its entries and from the kind of CPU, never from a clock: equal arguments give equal weights.

Every variant is a gate here (`sagsae.training.codes.Gate`). Gradients are those of the variant's
``loss`` by autograd, with which it shares terms and weights.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sagsae.activations.cpu_products import CpuKind, cpu_kind
from sagsae.autoencoders.auxk import auxk_loss
from sagsae.autoencoders.declaration import BY_BATCH, BY_ROW, BY_THRESHOLD, COUNT, GATE, SIZE
from sagsae.autoencoders.dictionary import Dictionary
from sagsae.training import codes, selection, weight_updates
from sagsae.training.batch_selection import select_of_batch
from sagsae.training.codes import Gate, Groups, Rows
from sagsae.training.kernels import Entries
from sagsae.training.step import Terms
from sagsae.training.threads import Threads, as_array, total
from sagsae.training.weight_updates import Rates, Weights

# Share of open entries from which dense products are faster, see docs/performance.md: of bfloat16
# by kind of CPU (never where it is not in hardware), and of float32.
DENSE_BFLOAT16 = {
    CpuKind.AMX: 0.043,
    CpuKind.AVX512_BF16: 0.22,
    CpuKind.NO_BFLOAT16: math.inf,
}
DENSE_FLOAT32 = 0.28
# Entries there is memory for where a whole batch is selected from, in multiples of k a row.
ROOM = 2
# Steps of bfloat16 within a bandwidth of JumpReLU's kernel below which pre-activations near a
# threshold are computed again in the master dtype.
EXACT = 16


# What the matrices' optimiser step needs.
Update = tuple[Weights, Rates]


class Batch(NamedTuple):
    """What every part of a step starts from.

    Attributes:
        centred: [B, d] what latents are to predict: activations less ``b_dec``, and less what a
            skip gives, in the master dtype.
        read: [B, d] what the encoder reads, in the master dtype.
        operand: The same in the dtype of the products.
        gate: What makes codes in this step.
    """

    centred: Tensor
    read: Tensor
    operand: Tensor
    gate: Gate


def dense_share(dtype: torch.dtype) -> float:
    """Share of open entries from which a step is faster with dense products in ``dtype``, on this
    kind of CPU."""
    return DENSE_BFLOAT16[cpu_kind()] if dtype == torch.bfloat16 else DENSE_FLOAT32


class CpuStep:
    """Gradients of one batch.

    Args:
        sae: The autoencoder; its ``params`` are written by an update alone.
        batch_size: B; every batch has exactly this many rows.
        dtype: Operands and results of the dense products.
        most: The largest k of the run, of a k-sparse autoencoder.
        dense_from: Share of open entries from which all products are dense; by default where they
            are faster on this CPU. Decided anew from each batch, so that a resumed run decides
            alike.

    Attributes:
        params: The autoencoder's parameters.
        grads: Gradients of the last batch by parameter, in the master dtype and the parameters'
            memory layout.
        weights: As of `Autoencoder`.
        dense: Whether all products of the last batch were dense.
    """

    def __init__(
        self,
        sae: Dictionary,
        batch_size: int,
        dtype: torch.dtype,
        *,
        most: int = 0,
        dense_from: float | None = None,
    ):
        self.sae, self.batch_size, self.dtype = sae, batch_size, dtype
        self.params, self.weights = sae.params, sae.weights
        self.master = self.params["W_enc"].dtype
        self._float = as_array(torch.empty(0, dtype=self.master)).dtype
        b, d, h = batch_size, sae.d, sae.width
        self.ends = np.array(sae.levels)
        self.W_enc, self.W_dec = (torch.empty(h, d, dtype=dtype) for _ in range(2))
        self.W_enc = self.W_enc.T
        self.u = torch.empty(b, h, dtype=dtype)
        codes_of_row = 1 + sae.auxiliary
        self.g = torch.empty(max(len(self.ends), codes_of_row), b, d, dtype=dtype)
        # Codes, and gradients at them: virtual memory until a step is dense.
        self.z, self.dz = (torch.empty(codes_of_row, b, h, dtype=dtype) for _ in range(2))
        self.dense, self.dense_from = (
            False,
            dense_share(dtype) if dense_from is None else dense_from,
        )
        self.grads = {name: torch.zeros_like(value) for name, value in self.params.items()}
        self.threads = Threads(torch.get_num_threads())
        room = {BY_THRESHOLD: h + 1, BY_ROW: most, BY_BATCH: min(h, ROOM * most) + 1}[sae.opened]
        self.entries = Entries.of(b, h, room, self._float)
        self.refresh()

    def refresh(self) -> None:
        """Cast the weights once for the products of the next batch."""
        self.W_enc.copy_(self.params["W_enc"])
        self.W_dec.copy_(self.params["W_dec"])

    def __call__(
        self,
        x: Tensor,
        lam: float,
        fired: Tensor | None = None,
        y: Tensor | None = None,
        update: Update | None = None,
    ) -> Terms:
        """Fill ``grads`` for normalised activations x [B, d].

        Args:
            x: Batch in the master dtype.
            lam: Sparsity coefficient of this step, or k.
            fired: [H] bool, set where a latent has z != 0 in this batch.
            y: [B, d] what a transcoder is to predict.
            update: Both weight matrices make this step at once, and their gradients are nowhere.
                Where this batch is ``dense``, it is the caller who makes it, of the gradients.
        """
        batch = self._batch(x, y, self._gate(lam))
        torch.mm(batch.operand, self.W_enc, out=self.u)
        self._select(batch, int(lam))
        self.dense = self._is_dense()
        rows = self._rows_of_products(batch) if self.dense else self._rows_of_entries(batch)
        if fired is not None:
            fired.logical_or_(torch.from_numpy(rows.fired))
        by_kind = torch.from_numpy(np.ascontiguousarray(rows.sums.T))
        self._vector_gradients(by_kind)
        terms = self._terms(rows)
        if update is not None and not self.dense:
            self._update(batch, rows, update)
        else:
            self._matrix_gradients(batch, lam)
            if self.sae.auxk_coefficient:
                terms["auxiliary"] = self._add_auxk(batch.operand, by_kind[6])
            direct = torch.from_numpy(rows.columns)
            if self.sae.reads_centred:
                direct = direct - self.params["W_enc"] @ by_kind[6]
            self.grads["b_dec"].copy_(direct)
        if self.sae.skips:
            self.grads["W_skip"].copy_(batch.operand.T @ self.g[0])
        return Terms(
            **{name: torch.tensor(part, dtype=self.master) for name, part in terms.items()}
        )

    def _batch(self, x: Tensor, y: Tensor | None, gate: Gate) -> Batch:
        if y is None:
            centred = x - self.params["b_dec"]
            read = centred if self.sae.reads_centred else x
            return Batch(centred, read, read.to(self.dtype), gate)
        read, centred = x - self.sae.centre, y - self.params["b_dec"]
        operand = read.to(self.dtype)
        if self.sae.skips:
            centred -= operand @ self.params["W_skip"].to(self.dtype)
        return Batch(centred, read, operand, gate)

    def _gate(self, lam: float) -> Gate:
        sae, v, scalar = self.sae, self.params, self._float.type
        sides = sae.sides(v)
        positive = sides.theta_pos, sides.r_pos.exp(), sides.c_pos
        both = positive, (sides.theta_neg, sides.r_neg.exp(), sides.c_neg)
        none = torch.zeros_like(sides.c_pos)
        cost = torch.ones_like(none) if sae.unit_rows else v["W_dec"].norm(dim=1)
        return Gate(
            bias=as_array(v.get("b_enc", none)),
            sides=as_array(torch.stack([torch.stack(side, -1) for side in both], 1)),
            cost=as_array(cost),
            on_p=scalar(sae.penalised == GATE),
            on_z=scalar(sae.penalised == SIZE),
            on_count=scalar(sae.penalised == COUNT),
            weight=scalar(lam / self.batch_size if sae.penalised else 0.0),
            band=scalar(sae.bandwidth if sae.opened == BY_THRESHOLD else 0.0),
        )

    def _select(self, batch: Batch, k: int) -> None:
        """Find the entries that are open, or in the band of the kernel."""
        u, bias, signed = as_array(self.u), batch.gate.bias, self.sae.two_sided
        entries = self.entries
        if self.sae.opened == BY_BATCH:
            select_of_batch(u, bias, k, signed, entries, self.threads)
        elif self.sae.opened == BY_ROW:
            find = partial(selection.top_of_rows, u, bias, k, signed, entries)
            self.threads.share(self.batch_size, find)
        else:
            self._select_by_threshold(batch)

    def _select_by_threshold(self, batch: Batch) -> None:
        gate, entries, signed = batch.gate, self.entries, self.sae.two_sided
        near = self._near(batch)
        reach = np.maximum(near, gate.band / 2)
        theta, below = gate.sides[:, :, 0].T
        upper, lower = theta - reach, below - reach if signed else None
        find = partial(selection.beyond, as_array(self.u), gate.bias, upper, lower, entries)
        self.threads.share(self.batch_size, find)
        if near.any():
            x, W = as_array(batch.read), as_array(self.params["W_enc"].T)
            bias, middle = gate.bias, np.ascontiguousarray(theta)
            again = partial(selection.refine, entries, x, W, bias, middle, near, signed)
            self.threads.share(self.batch_size, again)

    def _near(self, batch: Batch) -> np.ndarray:
        """[H], how near its threshold a pre-activation is computed again: as far as products in
        this dtype may be off, where JumpReLU's kernel is no wider; else zero.

        Results are rounded, and so are operands: by their size over sqrt(d) where errors add up as
        those of random numbers do.
        """
        gate = batch.gate
        if not gate.band:
            return np.zeros_like(gate.bias)
        operands = batch.read.square().mean().sqrt() * self.params["W_enc"].norm(dim=0)
        coarse = (gate.sides[:, 0, 0] + as_array(operands)) * torch.finfo(self.dtype).eps
        near = np.where(coarse * EXACT > gate.band, gate.band / 2 + coarse, 0)
        return near.astype(self._float)

    def _terms(self, rows: Rows) -> dict[str, float]:
        b, (inner, whole, auxiliary) = self.batch_size, rows.squares
        terms = {"reconstruction": whole / b}
        if self.sae.nested:
            terms["levels"] = inner / b
        if self.sae.penalised:
            terms["penalty"] = rows.penalty / b
        if self.sae.auxiliary or self.sae.penalised == GATE:
            terms["auxiliary"] = auxiliary / b
        return terms | {"l0": rows.alive / b}

    def _rows_of_entries(self, batch: Batch) -> Rows:
        b, entries, gate = self.batch_size, self.entries, batch.gate
        x, W_dec, g = (as_array(v) for v in (batch.centred, self.W_dec, self.g))
        scales = np.full(len(self.ends), 2.0 * self.sae.level_weight / b, self._float)
        groups = Groups(self.ends, scales)
        a = entries.a if self.sae.auxiliary else None

        def part(i: int, j: int) -> Rows:
            fired = np.zeros(self.sae.width, np.bool_)
            penalty, alive = codes.codes_of_entries(gate, entries, i, j, fired)
            squares, columns, sums = codes.rows_of_entries(
                gate, entries, a, groups, W_dec, x, g, i, j
            )
            return Rows(penalty, alive, fired, np.array(squares), columns, sums)

        parts = self.threads.share(b, part)
        selection.order_by_latent(entries)
        return Rows.of_threads(parts)

    def _is_dense(self) -> bool:
        """Whether so many entries were found that dense products are faster; nested groups of
        latents have none."""
        found = (self.entries.ends - self.entries.starts).sum()
        return len(self.ends) == 1 and bool(found >= self.dense_from * self.u.numel())

    def _rows_of_products(self, batch: Batch) -> Rows:
        """`_rows_of_entries` with dense products, of the auxiliary codes below the codes."""
        b, entries, gate = self.batch_size, self.entries, batch.gate
        x, scale, g = as_array(batch.centred), self._float.type(2.0 / b), self.g.flatten(0, 1)
        of_codes = list(zip((entries.z, entries.a), map(as_array, self.z), strict=False))
        dz, da = (as_array(self.dz[0]), as_array(self.dz[1]) if self.sae.auxiliary else None)

        def forward(i: int, j: int) -> tuple[float, int, np.ndarray]:
            fired = np.zeros(self.sae.width, np.bool_)
            penalty, alive = codes.codes_of_entries(gate, entries, i, j, fired)
            for values, out in of_codes:
                codes.spread(entries, values, i, j, out)
            return penalty, alive, fired

        def errors(i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
            found = [codes.errors_of_rows(x, scale, i, j, as_array(each)) for each in self.g]
            squares = np.zeros(3)
            squares[1 : 1 + len(found)] = [square for square, _ in found]
            return squares, found[0][1]

        made = self.threads.share(b, forward)
        torch.mm(self.z.flatten(0, 1), self.W_dec, out=g)
        missed = self.threads.share(b, errors)
        torch.mm(g, self.W_dec.T, out=self.dz.flatten(0, 1))
        back = self.threads.share(b, partial(codes.back_of_rows, gate, entries, dz, da))
        parts = zip(made, missed, back, strict=True)
        return Rows.of_threads([Rows(*one, *two, sums) for one, two, sums in parts])

    def _vector_gradients(self, sums: Tensor) -> None:
        """From sums [7, H] over the rows, as `Sides` has them."""
        leaves = {name: self.params[name].clone().requires_grad_() for name in self.sae.vectors}
        pairs = zip(self.sae.sides(leaves), sums[:6], strict=True)
        reached = [(side * at).sum() for side, at in pairs if side.requires_grad]
        if reached:  # of one number: else PyTorch imports SymPy, two seconds a job
            weighted = torch.stack(reached).sum()
            found = torch.autograd.grad(weighted, tuple(leaves.values()), allow_unused=True)
            for name, value in zip(leaves, found, strict=True):
                if value is not None:
                    self.grads[name].copy_(value)
        if "b_enc" in self.grads:
            self.grads["b_enc"].copy_(sums[6])

    def _matrix_gradients(self, batch: Batch, lam: float) -> None:
        dW_enc, dW_dec = self.grads["W_enc"].T, self.grads["W_dec"]
        if self.dense:
            dW_enc.copy_(torch.mm(self.dz[0].T, batch.operand))
            dW_dec.copy_(torch.mm(self.z[0].T, self.g[0]))
        else:
            self._gradients_of_entries(batch, dW_enc, dW_dec)
        if not self.sae.unit_rows:
            rows, sizes = self.params["W_dec"], self._sizes()
            norms = rows.norm(dim=1).clamp_min(torch.finfo(self.master).tiny)
            dW_dec.addcmul_((lam / self.batch_size * sizes / norms)[:, None], rows)

    def _gradients_of_entries(self, batch: Batch, dW_enc: Tensor, dW_dec: Tensor) -> None:
        x, found = as_array(batch.operand), self.entries
        arrays, groups = (as_array(dW_enc), as_array(dW_dec)), pairwise((0, *self.sae.levels))
        of_groups = list(zip(groups, map(as_array, self.g), strict=False))

        def part(i: int, j: int) -> None:
            for (first, last), g in of_groups:
                weight_updates.weight_gradients(found, x, g, max(i, first), min(j, last), *arrays)

        self.threads.share(self.sae.width, part)

    def _sizes(self) -> Tensor:
        """[H], |z| summed over the batch: what the penalty pulls at free norms with."""
        if self.dense:
            return self.z[0].abs().sum(0, dtype=self.master)
        found = self.entries
        entries = found.entries[: found.latent_starts[-1]]
        sizes = np.bincount(found.latents[entries], np.abs(found.z[entries]), self.sae.width)
        return torch.from_numpy(sizes).to(self.master)

    def _update(self, batch: Batch, rows: Rows, update: Update) -> None:
        """Step the matrices, and give ``b_dec`` its gradient on the way."""
        x, g, found = as_array(batch.operand), as_array(self.g[0]), self.entries

        def part(i: int, j: int) -> np.ndarray:
            bias = np.zeros(self.sae.d, self._float)
            weight_updates.update_on_open(*update, found, x, g, rows.sums, i, j, bias)
            return bias

        through_encoder = total(self.threads.share(self.sae.width, part))
        through_encoder *= self.sae.reads_centred
        self.grads["b_dec"].copy_(torch.from_numpy(rows.columns - through_encoder))

    def _add_auxk(self, operand: Tensor, du: Tensor) -> float:
        """Add the gradients of AuxK, see `sagsae.autoencoders.auxk`; the term before its weight.

        Dead latents are few, or the term would cost as much as the step; so their columns are taken
        out and multiplied densely.

        Args:
            operand: [B, d] what the encoder reads, in the dtype of the products.
            du: [H] gradient at the pre-activations summed over the batch; added to.
        """
        sae, grads = self.sae, self.grads
        if sae.dead is None or not sae.dead.any():
            return 0.0
        latents = sae.dead.nonzero()[:, 0]
        pre = self.u.index_select(1, latents).to(self.master) + self.params["b_enc"][latents]
        rows = self.params["W_dec"].index_select(0, latents)
        pre, rows = pre.requires_grad_(), rows.requires_grad_()
        error = self.g[-1].to(self.master) * (-self.batch_size / (2.0 * sae.level_weight))
        with torch.autocast("cpu", self.dtype, enabled=self.dtype == torch.bfloat16):
            term = auxk_loss(error, pre, rows, sae.auxk_latents, sae.two_sided)
            weighted = sae.weights(0.0)["auxiliary"] * term
        at_pre, at_rows = torch.autograd.grad(weighted, (pre, rows))
        grads["W_dec"].index_add_(0, latents, at_rows)
        to_encoder = (at_pre.to(self.dtype).T @ operand).to(self.master)
        grads["W_enc"].T.index_add_(0, latents, to_encoder)
        du.index_add_(0, latents, at_pre.sum(0))
        grads["b_enc"].copy_(du)
        return float(term.detach())
