"""Loss and gradients of one batch, written out: seven matrix products.

The loss (method: Gated SAE, arXiv 2404.16014, section 3; SA-GSAE keeps its form) is

    mean_B |x - x_hat|^2  +  lambda mean_B sum_i p_i  +  mean_B |x - x_aux|^2

with the auxiliary decoder frozen. Main and auxiliary code share one stacked decoder product and
one stacked product back; without an auxiliary term the main code is alone in both. The gradient
that ``b_dec`` receives through the encoder is a matrix-vector product of the batch-summed ``du``,
so the input gradient [B, d] is never formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder


@dataclass
class Terms:
    """Raw loss terms of one batch, before coefficients; scalars on the training device.

    Attributes:
        reconstruction: mean_B |x - x_hat|^2.
        penalty: mean_B sum_i p_i.
        auxiliary: mean_B |x - x_aux|^2; 0 where the variant has no such term.
        l0: mean_B count of z != 0.
    """

    reconstruction: Tensor
    penalty: Tensor
    auxiliary: Tensor
    l0: Tensor


@dataclass(frozen=True)
class Batch:
    """What every part of a step starts from.

    Attributes:
        centred: [B, d] activations less ``b_dec``, in the master dtype.
        operand: The same in the dtype of the products.
        lam: Sparsity coefficient.
        fired: [H] bool to set where a latent has z != 0, or None.
    """

    centred: Tensor
    operand: Tensor
    lam: float
    fired: Tensor | None


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
    """Reusable buffers and the gradients of one batch, in plain PyTorch operations.

    Args:
        sae: The autoencoder; its ``params`` are read, never written.
        batch_size: B; every batch has exactly this many rows.
        dtype: Operands and results of the matrix products.

    Attributes:
        grads: Gradients of the last batch by parameter, in the master dtype and the parameters'
            memory layout.
        sparse_steps: Steps that worked on open entries alone, see `sagsae.training.cpu_step`.
    """

    def __init__(self, sae: Autoencoder, batch_size: int, dtype: torch.dtype):
        self.sae, self.batch_size, self.dtype = sae, batch_size, dtype
        master = sae.params["W_enc"]
        self.master, device = master.dtype, master.device
        self.sparse_steps = 0

        def buffer(*shape: int) -> Tensor:
            return torch.empty(*shape, dtype=dtype, device=device)

        b, d, h = batch_size, sae.d, sae.width
        self.u, self.du, self.codes = buffer(b, h), buffer(b, h), buffer(2 * b, h)
        self.code_grads = buffer(2 * b, h).zero_()  # and so they stay without an auxiliary term
        self.decoded = 2 * b if sae.auxiliary else b
        self.outputs, self.output_grads = buffer(self.decoded, d), buffer(self.decoded, d)
        self.W_enc, self.W_dec = buffer(h, d).T, buffer(h, d)
        self.d_enc, self.d_dec = buffer(h, d), buffer(h, d)
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
        return self._after_encoder(Batch(centred, operand, lam, fired))

    def _after_encoder(self, batch: Batch) -> Terms:
        b, params = self.batch_size, self.sae.params
        z, a = self.codes.view(2, b, -1)
        penalty = self.sae.codes(self.u.to(self.master), params, z, a)
        torch.mm(self.codes[: self.decoded], self.W_dec, out=self.outputs)
        residual = self.outputs.to(self.master).view(-1, b, self.sae.d).sub_(batch.centred)
        squares = residual.square().sum(dim=(1, 2)) / b
        if batch.fired is not None:
            batch.fired.logical_or_((z != 0).any(dim=0))
        l0 = z.count_nonzero().to(self.master) / b
        residual *= 2.0 / b
        self.output_grads.view_as(residual).copy_(residual)
        torch.mm(self.output_grads, self.W_dec.T, out=self.code_grads[: self.decoded])
        self._backward_codes(batch.lam / b)
        torch.mm(z.T, self.output_grads[:b], out=self.d_dec)
        torch.mm(self.du.T, batch.operand, out=self.d_enc)
        self._keep_products()
        self._bias_gradient(residual[0].sum(0), self.du.sum(0, dtype=self.master))
        auxiliary = squares[1] if self.sae.auxiliary else torch.zeros_like(l0)
        return Terms(squares[0], penalty / b, auxiliary, l0)

    def _keep_products(self) -> None:
        self.grads["W_dec"].copy_(self.d_dec)
        self.grads["W_enc"].T.copy_(self.d_enc)

    def _backward_codes(self, penalty: float) -> None:
        def add(name: str, value: Tensor) -> None:
            self.grads[name] += value.sum(0)

        parts = (self.u, *self.code_grads.view(2, self.batch_size, -1))
        u, dz, da = (part.to(self.master, copy=True) for part in parts)
        self.sae.code_gradients(u, self.sae.params, dz, da, penalty, self.du, add)

    def _bias_gradient(self, direct: Tensor, du: Tensor) -> None:
        """``b_dec`` is added after the decoder and subtracted before the encoder."""
        torch.sub(direct, self.sae.params["W_enc"] @ du, out=self.grads["b_dec"])
