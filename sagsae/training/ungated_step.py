"""The step on a CPU of autoencoders without a gate: one dense product, where codes are sparse.

The encoder product is dense. The active entries are then found (`sagsae.training.selection`), and
decoding, its backward and all weight gradients run on them alone (`code_entries`). Where ReLU and
JumpReLU leave too many entries active, as they do at the start, these are dense products as well.
Gradients are those of ``sae.training_terms`` by autograd, whose terms and weights they share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sagsae.autoencoders.batchtopk import AbsBatchTopK, BatchTopK
from sagsae.autoencoders.jumprelu import AbsJumpRelu, JumpRelu
from sagsae.autoencoders.matryoshka import AbsMatryoshka, Matryoshka
from sagsae.autoencoders.relu import AbsRelu, Relu
from sagsae.autoencoders.topk import AbsTopK, KSparse, TopK
from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.training import code_entries, kernels, open_entries, selection, weight_updates
from sagsae.training.auxk_gradients import add_auxk
from sagsae.training.batch_selection import select_of_batch
from sagsae.training.code_entries import B_ENC, SIZES, THRESHOLD, Activation
from sagsae.training.cpu_step import SPARSE_BELOW, Entries, Threads, as_array, total
from sagsae.training.step import Terms, weighted_sum

FAST = {Relu, AbsRelu, TopK, AbsTopK, BatchTopK, AbsBatchTopK, JumpRelu, AbsJumpRelu}
FAST |= {Matryoshka, AbsMatryoshka}
"""Classes whose formulas the step has. A subclass may compute something else, and is not in it."""
ROOM = 2
"""Entries there is memory for where a whole batch is selected from, in multiples of k a row."""
EXACT = 16
"""Steps of bfloat16 within a bandwidth of JumpReLU's kernel below which pre-activations near a
threshold are computed again in the master dtype."""


class UngatedStep:
    """Gradients of one batch.

    Args:
        sae: The autoencoder; its ``params`` are read, never written.
        batch_size: B; every batch has exactly this many rows.
        dtype: Operands and results of the dense products.
        most: The largest k of the run, of a k-sparse autoencoder.
        sparse_below: Share of active entries under which ReLU and JumpReLU work on these alone.
            Decided anew from each batch, so that a resumed run decides alike.

    Attributes:
        params: The autoencoder's parameters.
        grads: Gradients of the last batch by parameter, in the master dtype and the parameters'
            memory layout.
        sparse_steps: Steps that worked on active entries alone.
    """

    def __init__(
        self,
        sae: UngatedAutoencoder,
        batch_size: int,
        dtype: torch.dtype,
        most: int = 0,
        sparse_below: float = SPARSE_BELOW,
    ):
        self.sae, self.batch_size, self.dtype = sae, batch_size, dtype
        self.params = sae.params
        master = self.params["W_enc"]
        self.master, self.sparse_steps = master.dtype, 0
        b, d, h = batch_size, sae.d, sae.width
        self.u = torch.empty(b, h, dtype=dtype)
        self.W_enc = torch.empty(h, d, dtype=dtype).T
        self.W_dec = torch.empty(h, d, dtype=dtype)
        self.ends = np.array(sae.levels if isinstance(sae, Matryoshka) else (h,))
        self.g = torch.empty(len(self.ends), b, d, dtype=dtype)
        self.grads = {name: torch.zeros_like(value) for name, value in self.params.items()}
        self.threads = Threads(torch.get_num_threads())
        self._float = as_array(master.new_empty(0)).dtype
        share = math.ceil(sparse_below * h)
        room = share if not isinstance(sae, KSparse) else most
        room = min(h, ROOM * most + 1) if isinstance(sae, BatchTopK) else room
        self.entries = Entries(b, h, room, self._float)
        self.refresh()

    def refresh(self) -> None:
        """Cast the weights once for the products of the next batch."""
        self.W_enc.copy_(self.params["W_enc"])
        self.W_dec.copy_(self.params["W_dec"])

    def __call__(self, x: Tensor, lam: float, fired: Tensor | None = None) -> Terms:
        """Fill ``grads`` for normalised activations x [B, d]; arguments as of `Step`."""
        centred = x - self.params["b_dec"]
        operand = (centred if int(self.sae.centred) else x).to(self.dtype)
        torch.mm(operand, self.W_enc, out=self.u)
        how, weight = self._activation(lam), self.sae.weights(lam)
        read = centred if int(self.sae.centred) else x
        if self._select(how, lam, read):
            self.sparse_steps += 1
            terms, seen, sums, columns = self._on_entries(centred, operand, how)
        else:
            terms, seen, sums, columns = self._dense(centred, operand, how)
        if fired is not None:
            for part in seen:
                fired.logical_or_(torch.from_numpy(part))
        self._vector_gradients(sums, weight.get("penalty", 0.0))
        if self.sae.auxk_coefficient:
            terms["auxiliary"] = add_auxk(self, operand, weight["auxiliary"])
        self._bias_gradient(columns)
        dtype = self.master
        return Terms(**{name: torch.tensor(part, dtype=dtype) for name, part in terms.items()})

    def objective(self, terms: Mapping[str, float], lam: float) -> float:
        """What is minimised: the terms of a batch with their coefficients, added up."""
        return weighted_sum(terms, self.sae.weights(lam))

    # What is active ----------------------------------------------------------------------------

    def _activation(self, lam: float) -> Activation:
        """How pre-activations become codes; every vector in the master dtype."""
        sae, none = self.sae, torch.zeros_like(self.params["b_enc"])
        opens, shrinks, costs, weight = none, none, none, 0.0
        if isinstance(sae, KSparse):
            opens = none - 1  # what was selected is active
        elif isinstance(sae, JumpRelu):
            opens, weight = sae.thresholds.detach(), lam / self.batch_size
        elif isinstance(sae, Relu):
            costs, weight = none + 1, lam / self.batch_size
            if not sae.unit_rows:
                costs = self.params["W_dec"].norm(dim=1)
            if sae.two_sided:
                opens = shrinks = self.params["threshold"]
        jumps = isinstance(sae, JumpRelu)
        band = sae.bandwidth if isinstance(sae, JumpRelu) else 1.0
        opens, shrinks, costs = (value.contiguous() for value in (opens, shrinks, costs))
        scalar = self._float.type
        return Activation(
            opens=as_array(opens),
            shrinks=as_array(shrinks),
            costs=as_array(costs),
            signed=sae.two_sided,
            jumps=jumps,
            band=scalar(band),
            weight=scalar(weight),
        )

    def _select(self, how: Activation, lam: float, read: Tensor) -> bool:
        """Find the entries that are active, or in the band of the kernel; whether they fit."""
        u, bias, share = as_array(self.u), as_array(self.params["b_enc"]), self.threads.share
        found, b = self.entries.found, self.batch_size
        if isinstance(self.sae, BatchTopK):
            select_of_batch(u, bias, int(lam), how.signed, self.entries, self.threads)
            return True
        if isinstance(self.sae, KSparse):
            share(b, lambda i, j: selection.top_of_rows(u, bias, int(lam), how.signed, i, j, found))
            return True
        lower, reach = how.opens, np.zeros_like(how.opens)
        if how.jumps:
            coarse = how.opens * self._float.type(torch.finfo(self.dtype).eps)
            half = how.band / 2
            reach = np.where(coarse * EXACT > how.band, half + coarse, reach).astype(self._float)
            lower = lower - np.maximum(reach, half)
        room = self.entries.room
        parts = share(
            b, lambda i, j: selection.above(u, bias, lower, how.signed, i, j, room, found)
        )
        if not all(fits for _, fits in parts):
            return False
        if reach.any():
            x, W = as_array(read), as_array(self.params["W_enc"].T)
            share(
                b,
                lambda i, j: selection.refine(
                    found, i, j, x, W, bias, how.opens, reach, how.signed
                ),
            )
        return True

    # Few entries are active --------------------------------------------------------------------

    def _on_entries(
        self, centred: Tensor, operand: Tensor, how: Activation
    ) -> tuple[dict[str, float], list[np.ndarray], np.ndarray, np.ndarray]:
        """Terms, which latents fired, sums [H, 3] and the gradient of ``b_dec`` by the decoder."""
        b, found, share = self.batch_size, self.entries.found, self.threads.share
        x, read, W_dec, g = (as_array(v) for v in (centred, operand, self.W_dec, self.g))
        weight = self.sae.level_weight if isinstance(self.sae, Matryoshka) else 1.0
        scales = np.full(len(self.ends), 2.0 * weight / b, self._float)

        def rows(i: int, j: int) -> tuple[tuple[float, ...], tuple[np.ndarray, ...]]:
            seen, columns = np.zeros(self.sae.width, np.bool_), np.zeros(self.sae.d, self._float)
            sums = np.zeros((self.sae.width, 3), self._float)
            made = code_entries.code_of_entries(found, how, i, j, seen)
            squares = code_entries.rows_on_entries(
                W_dec, x, found, how, self.ends, scales, i, j, g, columns, sums
            )
            return (*made, *squares), (seen, columns, sums)

        parts = share(b, rows)
        open_entries.order_by_latent(found)
        dW_enc, dW_dec = as_array(self.grads["W_enc"].T), as_array(self.grads["W_dec"])

        def weights(i: int, j: int) -> None:
            for m, first in enumerate((0, *self.ends[:-1])):
                a, z = max(i, int(first)), min(j, int(self.ends[m]))
                if a < z:
                    weight_updates.weight_gradients(found, read, g[m], a, z, dW_enc, dW_dec)

        share(self.sae.width, weights)
        penalty, alive, inner, whole = (sum(part[0][n] for part in parts) / b for n in range(4))
        sums, columns = (total([part[1][n] for part in parts]) for n in (2, 1))
        terms = self._terms(whole, inner, penalty, alive)
        return terms, [part[1][0] for part in parts], sums, columns

    def _terms(self, whole: float, inner: float, penalty: float, alive: float) -> dict[str, float]:
        terms = {"reconstruction": whole}
        if isinstance(self.sae, Matryoshka):
            terms["levels"] = inner
        if not isinstance(self.sae, KSparse):
            terms["penalty"] = penalty
        return terms | {"l0": alive}

    # Many are active ---------------------------------------------------------------------------

    def _dense(
        self, centred: Tensor, operand: Tensor, how: Activation
    ) -> tuple[dict[str, float], list[np.ndarray], np.ndarray, np.ndarray]:
        """As `_on_entries`, by dense products."""
        b, share, d = self.batch_size, self.threads.share, self.sae.d
        z, dz, du = (torch.empty_like(self.u) for _ in range(3))
        u, bias = as_array(self.u), as_array(self.params["b_enc"])
        codes, x, g = as_array(z), as_array(centred), self.g[0]

        def forward(i: int, j: int) -> tuple[float, int, np.ndarray]:
            seen = np.zeros(self.sae.width, np.bool_)
            return (*code_entries.dense_code(u, bias, how, i, j, codes, seen), seen)

        parts = share(b, forward)
        out = z @ self.W_dec
        outputs, grads, scale = as_array(out), as_array(g), self._float.type(2.0 / b)

        def residuals(i: int, j: int) -> tuple[float, np.ndarray]:
            sums = np.zeros(d, self._float)
            return kernels.output_gradients(outputs, x, scale, i, j, grads, sums), sums

        errors = share(b, residuals)
        torch.mm(g, self.W_dec.T, out=dz)
        at_z, at_pre = as_array(dz), as_array(du)

        def backward(i: int, j: int) -> np.ndarray:
            sums = np.zeros((3, self.sae.width), self._float)
            code_entries.dense_backward(u, bias, how, at_z, i, j, at_pre, sums)
            return sums

        sums = total(share(b, backward))
        self.grads["W_dec"].copy_(z.T @ g)
        self.grads["W_enc"].T.copy_(du.T @ operand)
        terms = self._terms(
            sum(part[0] for part in errors) / b,
            0.0,
            sum(part[0] for part in parts) / b,
            sum(part[1] for part in parts) / b,
        )
        return terms, [part[2] for part in parts], sums.T, total([part[1] for part in errors])

    def error(self) -> Tensor:
        """x - x_hat of the last batch, [B, d] in the master dtype."""
        weight = self.sae.level_weight if isinstance(self.sae, Matryoshka) else 1.0
        return self.g[-1].to(self.master) * (-self.batch_size / (2.0 * weight))

    # Gradients of all but the matrices ---------------------------------------------------------

    def _vector_gradients(self, sums: np.ndarray, lam: float) -> None:
        """Of the vectors; and of free decoder norms, which the penalty weighs with."""
        by_kind = torch.from_numpy(np.ascontiguousarray(sums.T))
        self.grads["b_enc"].copy_(by_kind[B_ENC])
        if "threshold" in self.grads:
            self.grads["threshold"].copy_(by_kind[THRESHOLD])
        if isinstance(self.sae, JumpRelu) and self.sae.logarithmic:
            self.grads["threshold"] *= self.sae.thresholds.detach()
        if isinstance(self.sae, Relu) and not self.sae.unit_rows:
            rows = self.params["W_dec"]
            norms = rows.norm(dim=1).clamp_min(torch.finfo(self.master).tiny)
            pull = lam / self.batch_size * by_kind[SIZES] / norms
            self.grads["W_dec"].addcmul_(pull[:, None], rows)

    def _bias_gradient(self, columns: np.ndarray) -> None:
        """``b_dec`` is added after the decoder, and subtracted before a centred encoder."""
        direct = torch.from_numpy(columns)
        if int(self.sae.centred):
            direct = direct - self.params["W_enc"] @ self.grads["b_enc"]
        self.grads["b_dec"].copy_(direct)
