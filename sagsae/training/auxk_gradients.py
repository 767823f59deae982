"""Gradients of AuxK, added to those of a step on a CPU; see `sagsae.autoencoders.auxk`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sagsae.autoencoders.auxk import auxk_loss, strongest

if TYPE_CHECKING:
    from sagsae.training.cpu_step import CpuStep


def add_auxk(step: CpuStep, operand: Tensor, du: Tensor, weight: float) -> float:
    """Add the gradients of the term; the term before its weight.

    Dead latents are few, or the term would cost as much as the step; so their columns are taken out
    and multiplied densely.

    Args:
        step: Whose own gradients are there.
        operand: [B, d] what the encoder reads, in the dtype of the products.
        du: [H] gradient at the pre-activations summed over the batch; added to.
        weight: Of the term in the loss.
    """
    sae, master = step.sae, step.master
    if sae.dead is None or not sae.dead.any():
        return 0.0
    latents = sae.dead.nonzero()[:, 0]
    pre = step.u.index_select(1, latents).to(master) + step.params["b_enc"][latents]
    rows = step.params["W_dec"].index_select(0, latents)
    low = step.dtype == torch.bfloat16
    with torch.autocast("cpu", step.dtype, enabled=low):
        codes = strongest(pre.requires_grad_(), sae.auxk_latents, sae.two_sided)
        term = auxk_loss(step.error(), codes, rows.requires_grad_())
        weighted = weight * term
    at_pre, at_rows = torch.autograd.grad(weighted, (pre, rows))
    step.grads["W_dec"].index_add_(0, latents, at_rows)
    to_encoder = (at_pre.to(step.dtype).T @ operand).to(master)
    step.grads["W_enc"].T.index_add_(0, latents, to_encoder)
    du.index_add_(0, latents, at_pre.sum(0))
    step.grads["b_enc"].copy_(du)
    return float(term.detach())
