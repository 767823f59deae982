"""Loss and gradients of one batch, written out: seven matrix products, elementwise parts in cache.

The loss (method: Gated SAE, arXiv 2404.16014, section 3; SA-GSAE keeps its form) is

    mean_B |x - x_hat|^2  +  lambda mean_B sum_i p_i  +  mean_B |x - x_aux|^2

with the auxiliary decoder frozen. Main and auxiliary code share one stacked decoder product and
one stacked product back. The gradient that ``b_dec`` receives through the encoder is a
matrix-vector product of the batch-summed ``du``, so the input gradient [B, d] is never formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.training.open_entries import OpenEntries

SPARSE_BELOW = 0.08
"""Share of open gates under which the products over open entries are the faster ones."""

CACHE_ELEMENTS = 98_304
"""Elements of one [rows, H] block of elementwise work on a CPU: a few of them fit the L2 cache."""


@dataclass
class Terms:
    """Raw loss terms of one batch, before coefficients; scalars on the training device.

    Attributes:
        reconstruction: mean_B |x - x_hat|^2.
        penalty: mean_B sum_i p_i.
        auxiliary: mean_B |x - x_aux|^2.
        l0: mean_B count of z != 0.
    """

    reconstruction: Tensor
    penalty: Tensor
    auxiliary: Tensor
    l0: Tensor


def products_dtype(choice: str, device: torch.device) -> torch.dtype:
    """Resolve "auto": bfloat16 where the device multiplies it in hardware, else float32.

    Raises:
        ValueError: not "auto", "bfloat16", "float32" or "float64".
    """
    named = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
    if choice in named:
        return named[choice]
    if choice != "auto":
        raise ValueError(f"matmul_dtype {choice!r}: choose auto, bfloat16 or float32")
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


class Step:
    """Reusable buffers and the gradients of one batch.

    Args:
        sae: The autoencoder; its ``params`` are read, never written.
        batch_size: B; every batch has exactly this many rows.
        dtype: Operands and results of the dense matrix products.
        sparse_below: Share of open gates under which everything after the encoder runs on the open
            entries alone, in the master dtype. Decided anew from each batch, so that a resumed run
            decides alike. Only on a CPU.
    """

    def __init__(
        self,
        sae: Autoencoder,
        batch_size: int,
        dtype: torch.dtype,
        sparse_below: float = SPARSE_BELOW,
    ):
        self.sae, self.batch_size, self.dtype = sae, batch_size, dtype
        master = sae.params["W_enc"]
        self.master, device = master.dtype, master.device
        self.sparse_below = sparse_below if device.type == "cpu" else 0.0
        self.sparse_steps = 0

        def buffer(*shape: int, of: torch.dtype = dtype) -> Tensor:
            return torch.empty(*shape, dtype=of, device=device)

        b, d, h = batch_size, sae.d, sae.width
        self.u, self.du, self.codes = buffer(b, h), buffer(b, h), buffer(2 * b, h)
        self.open = buffer(b, h, of=torch.bool)
        self.code_grads = buffer(2 * b, h)
        self.outputs, self.output_grads = buffer(2 * b, d), buffer(2 * b, d)
        self.W_enc, self.W_dec = buffer(d, h), buffer(h, d)
        self.rows = b if device.type == "cuda" else max(1, min(b, CACHE_ELEMENTS // h))
        self.grads = {name: torch.zeros_like(value) for name, value in sae.params.items()}
        self.refresh()

    def refresh(self) -> None:
        """Cast the weights once for the products of the next batch."""
        self.W_enc.copy_(self.sae.params["W_enc"])
        self.W_dec.copy_(self.sae.params["W_dec"])

    def __call__(self, x: Tensor, lam: float, fired: Tensor | None = None) -> Terms:
        """Fill ``grads`` for normalised activations x [B, d].

        Args:
            x: Batch in the master dtype.
            lam: Sparsity coefficient of this step.
            fired: [H] bool, set where a latent has z != 0 in this batch.
        """
        centred = x - self.sae.params["b_dec"]
        operand = centred.to(self.dtype)
        torch.mm(operand, self.W_enc, out=self.u)
        for name in self.sae.vectors:
            self.grads[name].zero_()
        if self._is_sparse():
            self.sparse_steps += 1
            return self._on_open_entries(centred, lam, fired)
        return self._dense(centred, operand, lam, fired)

    def _is_sparse(self) -> bool:
        """Whether few enough gates are open; fills ``open`` where that is asked."""
        if not self.sparse_below:
            return False
        for s in self._slices():
            self.open[s] = self.sae.is_open(self.u[s].to(self.master), self.sae.params)
        return int(self.open.count_nonzero()) < self.sparse_below * self.open.numel()

    def _slices(self) -> list[slice]:
        b = self.batch_size
        return [slice(i, min(i + self.rows, b)) for i in range(0, b, self.rows)]

    # Dense: main and auxiliary code share one stacked product each way -------------------------

    def _dense(self, centred: Tensor, operand: Tensor, lam: float, fired: Tensor | None) -> Terms:
        b = self.batch_size
        penalty = self._forward_codes()
        torch.mm(self.codes, self.W_dec, out=self.outputs)
        residual = self.outputs.to(self.master).view(2, b, -1).sub_(centred)
        squares = residual.square().sum(dim=(1, 2)) / b
        z = self.codes[:b]
        if fired is not None:
            fired |= (z != 0).any(dim=0)
        l0 = z.count_nonzero().to(self.master) / b
        residual *= 2.0 / b
        self.output_grads.view(2, b, -1).copy_(residual)
        torch.mm(self.output_grads, self.W_dec.T, out=self.code_grads)
        self._backward_codes(lam / b)
        self.grads["W_dec"].copy_(z.T @ self.output_grads[:b])
        self.grads["W_enc"].copy_(operand.T @ self.du)
        self._bias_gradient(residual[0].sum(0), self.du.sum(0, dtype=self.master))
        return Terms(squares[0], penalty / b, squares[1], l0)

    def _forward_codes(self) -> Tensor:
        z, a = self.codes.view(2, self.batch_size, -1)
        params = self.sae.params
        sums = [
            self.sae.codes(self.u[s].to(self.master), params, z[s], a[s]) for s in self._slices()
        ]
        return torch.stack(sums).sum()

    def _backward_codes(self, penalty: float) -> None:
        def add(name: str, value: Tensor) -> None:
            self.grads[name] += value.sum(0)

        dz, da = self.code_grads.view(2, self.batch_size, -1)
        for s in self._slices():
            u, dz_s, da_s = (t[s].to(self.master, copy=True) for t in (self.u, dz, da))
            self.sae.code_gradients(u, self.sae.params, dz_s, da_s, penalty, self.du[s], add)

    def _bias_gradient(self, direct: Tensor, du: Tensor) -> None:
        """``b_dec`` is added after the decoder and subtracted before the encoder."""
        torch.sub(direct, self.sae.params["W_enc"] @ du, out=self.grads["b_dec"])

    # Sparse: the same on the open entries alone ------------------------------------------------

    def _on_open_entries(self, centred: Tensor, lam: float, fired: Tensor | None) -> Terms:
        b, params = self.batch_size, self.sae.params
        entries = OpenEntries(self.open)
        u, v = entries.gather(self.u).to(self.master), entries.vectors(params, self.sae.vectors)
        z, a, du = torch.empty_like(u), torch.empty_like(u), torch.empty_like(u)
        penalty = self.sae.codes(u, v, z, a)
        residuals = [entries.times(values, params["W_dec"]).sub_(centred) for values in (z, a)]
        squares = [residual.square().sum() / b for residual in residuals]
        if fired is not None:
            fired[entries.latents[z != 0]] = True
        l0 = z.count_nonzero().to(self.master) / b
        g, g_aux = (residual.mul_(2.0 / b) for residual in residuals)
        dz, da = (entries.inner(grad, params["W_dec"]) for grad in (g, g_aux))
        add = entries.adder(self.grads)
        self.sae.code_gradients(u, v, dz, da, lam / b, du, add)
        self.grads["W_dec"].copy_(entries.transposed_times(z, g))
        self.grads["W_enc"].copy_(entries.transposed_times(du, centred).T)
        self._bias_gradient(g.sum(0), entries.sum_by_latent(du))
        return Terms(squares[0], penalty / b, squares[1], l0)
