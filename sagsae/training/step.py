"""Loss and gradients of one batch, written out: seven matrix products.

The loss is that of `sagsae.autoencoders.gate` (Gated SAE, arXiv 2404.16014, section 3; SA-GSAE
keeps its form). The auxiliary code has two of the products to itself; without an auxiliary term
there are five. The gradient that ``b_dec`` receives through the encoder is a matrix-vector product
of the batch-summed ``du``, so the input gradient [B, d] is never formed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sagsae.autoencoders.gate import GatedAutoencoder
from sagsae.cpu_products import has_bfloat16

RECOMPUTE = (
    "realize_opcount_threshold",
    "realize_reads_threshold",
    "realize_acc_reads_threshold",
)
"""Limits of Inductor, beyond which it stores a value instead of computing it where it is needed."""


class Terms(SimpleNamespace):
    """Loss terms of one batch; scalars on the training device.

    Those of a gate are raw, before coefficients; an autoencoder that is trained by autograd has its
    own names for what is not listed here, and coefficients in them.

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


def weighted_sum(terms: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The terms of a loss, each times its weight, which is 1 where there is none; without L0."""
    return sum(weights.get(name, 1.0) * value for name, value in terms.items() if name != "l0")


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
        # By default it says yes of every card, as PyTorch emulates bfloat16 where there is none.
        in_hardware = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        in_hardware = has_bfloat16()
    return torch.bfloat16 if in_hardware else torch.float32


class Step:
    """Reusable buffers and the gradients of one batch, in plain PyTorch operations.

    Args:
        sae: The autoencoder; its ``params`` are read, never written.
        batch_size: B; every batch has exactly this many rows.
        dtype: Operands and results of the matrix products.

    Attributes:
        params: The autoencoder's parameters.
        grads: Gradients of the last batch by parameter, in the master dtype and the parameters'
            memory layout.
        sparse_steps: Steps that worked on open entries alone, see `sagsae.training.cpu_step`.
    """

    def __init__(self, sae: GatedAutoencoder, batch_size: int, dtype: torch.dtype):
        self.sae, self.batch_size, self.dtype = sae, batch_size, dtype
        self.params = sae.params
        master = self.params["W_enc"]
        self.master, device = master.dtype, master.device
        self.sparse_steps = 0
        self.penalties = master.new_zeros(sae.width)

        def buffer(*shape: int) -> Tensor:
            return torch.empty(*shape, dtype=dtype, device=device)

        b, d, h = batch_size, sae.d, sae.width
        self.u, self.du = buffer(b, h), buffer(b, h)
        # Main and auxiliary; tensors of their own, which the compiler of `fuse` passes over once.
        self.codes, self.code_grads = (self._both(b, h) for _ in range(2))
        self.outputs, self.output_grads = (self._both(b, d) for _ in range(2))
        self.W_enc, self.W_dec = buffer(h, d).T, buffer(h, d)
        self.d_enc, self.d_dec = buffer(h, d), buffer(h, d)
        self.grads = {name: torch.zeros_like(value) for name, value in self.params.items()}
        self.refresh()

    def refresh(self) -> None:
        """Cast the weights once for the products of the next batch."""
        self.W_enc.copy_(self.params["W_enc"])
        self.W_dec.copy_(self.params["W_dec"])

    def __call__(self, x: Tensor, lam: float, fired: Tensor | None = None) -> Terms:
        """Fill ``grads`` for normalised activations x [B, d].

        Args:
            x: Batch in the master dtype.
            lam: Sparsity coefficient of this step.
            fired: [H] bool, set where a latent has z != 0 in this batch.
        """
        centred = x - self.params["b_dec"]
        operand = centred.to(self.dtype)
        torch.mm(operand, self.W_enc, out=self.u)
        for name in self.sae.vectors:
            self.grads[name].zero_()
        return self._after_encoder(Batch(centred, operand, lam, fired))

    def objective(self, terms: Mapping[str, float], lam: float) -> float:
        """What is minimised: the terms of a batch with their coefficients, added up."""
        return weighted_sum(terms, {"penalty": lam})

    def fuse(self, backend: str = "inductor") -> None:
        """Compile the elementwise parts between the products, and run each once.

        Each is a few passes over [B, H] then instead of some thirty, which take longer than the
        products on a GPU. Where PyTorch cannot compile, without a C compiler for example, the parts
        stay as they are and a warning says so.
        """
        # No sum over the rows leaves what it sums in memory: to compute it again costs less.
        options: dict[str, Any] | None = (
            dict.fromkeys(RECOMPUTE, 1000) if backend == "inductor" else None
        )
        parts = ("_forward_codes", "_residuals", "_backward_codes")
        for part in parts:
            compiled = torch.compile(
                getattr(self, part), fullgraph=True, dynamic=False, backend=backend, options=options
            )
            setattr(self, part, compiled)
        try:
            self._forward_codes()
            self._residuals(self.grads["W_dec"].new_zeros(self.batch_size, self.sae.d))
            self._backward_codes(self._weights(self.grads["W_dec"].new_zeros(())))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            for part in parts:
                delattr(self, part)
            lines = [line for line in str(error).splitlines() if line.strip()]
            print(
                f"warning: PyTorch cannot compile the training step ({type(error).__name__}: "
                f"{' '.join(lines[:3])}); it runs uncompiled, which makes a step on a GPU several "
                "times slower. Install gcc or clang, or name a compiler in CC.",
                file=sys.stderr,
                flush=True,
            )

    def _both(self, rows: int, columns: int) -> tuple[Tensor, ...]:
        """A buffer for the main code, and one for the auxiliary one where there is such a term."""
        return tuple(self.u.new_empty(rows, columns) for _ in range(1 + self.sae.auxiliary))

    def _after_encoder(self, batch: Batch) -> Terms:
        b = self.batch_size
        self.penalties, l0, alive = self._forward_codes()
        if batch.fired is not None:
            batch.fired.logical_or_(alive)
        for code, output in zip(self.codes, self.outputs, strict=True):
            torch.mm(code, self.W_dec, out=output)
        squares, direct = self._residuals(batch.centred)
        for grad, code_grad in zip(self.output_grads, self.code_grads, strict=True):
            torch.mm(grad, self.W_dec.T, out=code_grad)
        # Made on the device, where a number handed over would be compiled in or waited for.
        through_encoder = self._backward_codes(self._weights(direct.new_full((), batch.lam / b)))
        torch.mm(self.codes[0].T, self.output_grads[0], out=self.d_dec)
        torch.mm(self.du.T, batch.operand, out=self.d_enc)
        self._keep_products()
        self._bias_gradient(direct, through_encoder)
        auxiliary = squares[1] if self.sae.auxiliary else torch.zeros_like(l0)
        return Terms(
            reconstruction=squares[0] / b,
            penalty=(self.penalties * self._weights(torch.ones_like(l0))).sum() / b,
            auxiliary=auxiliary / b,
            l0=l0 / b,
        )

    def _forward_codes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Fill ``codes``; [H] sums of p, the count of z != 0, and [H] which latents have z != 0."""
        penalties, counts = self.sae.codes(self.u.to(self.master), self.params, *self.codes)
        return penalties, counts.sum().to(self.master), counts > 0

    def _weights(self, penalty: Tensor) -> Tensor:
        """What a unit of each latent's p costs, scalar or [H], from the scalar ``penalty``."""
        return penalty

    def _residuals(self, centred: Tensor) -> tuple[list[Tensor], Tensor]:
        """Fill ``output_grads``; squares of each residual, and [d] the main one's gradient."""
        residuals = [output.to(self.master) - centred for output in self.outputs]
        scale = 2.0 / self.batch_size
        for residual, grad in zip(residuals, self.output_grads, strict=True):
            grad.copy_(residual * scale)
        return [residual.square().sum() for residual in residuals], (residuals[0] * scale).sum(0)

    def _backward_codes(self, penalty: Tensor) -> Tensor:
        """Fill ``du`` and add to the vectors' gradients; ``du`` summed over the batch, [H]."""
        u, *grads = (part.to(self.master) for part in (self.u, *self.code_grads))
        sums = self.sae.code_gradients(u, self.params, penalty, self.du, *grads)
        self.sae.add_side_gradients(sums[:6], self.grads)
        return sums[6]

    def _keep_products(self) -> None:
        self.grads["W_dec"].copy_(self.d_dec)
        self.grads["W_enc"].T.copy_(self.d_enc)

    def _bias_gradient(self, direct: Tensor, du: Tensor) -> None:
        """``b_dec`` is added after the decoder and subtracted before the encoder."""
        torch.sub(direct, self.params["W_enc"] @ du, out=self.grads["b_dec"])
