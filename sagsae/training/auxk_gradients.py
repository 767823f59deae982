"""AuxK written out: its value, and its gradients added to those of a step.

See `sagsae.autoencoders.auxk`. Dead latents are few, or the term would cost as much as the step; so
their columns are taken out and multiplied densely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sagsae.autoencoders.auxk import strongest

if TYPE_CHECKING:
    from sagsae.training.ungated_step import UngatedStep


def add_auxk(step: UngatedStep, operand: Tensor, weight: float) -> float:
    """Add the term's gradients to those of a step; the term before its weight.

    Args:
        step: Whose own gradients are there.
        operand: [B, d] what the encoder reads, in the dtype of the products.
        weight: Of the term in the loss.
    """
    sae = step.sae
    if sae.dead is None or not sae.dead.any():
        return 0.0
    latents = sae.dead.nonzero()[:, 0]
    b, dtype, master = step.batch_size, step.dtype, step.master
    pre = step.u.index_select(1, latents).to(master) + step.params["b_enc"][latents]
    codes = strongest(pre, sae.auxk_latents, sae.two_sided)
    rows, low = step.W_dec.index_select(0, latents), codes.to(dtype)
    error = step.error()
    left = error - (low @ rows).to(master)
    variance = (error - error.mean(0)).square().sum(1).mean()
    share = float(left.square().sum(1).mean() / variance)
    if not torch.isfinite(variance) or not variance > 0:
        return 0.0
    at_output = (left * (-2.0 * weight / (b * variance))).to(dtype)
    at_pre = (at_output @ rows.T).to(master) * (codes != 0)
    step.grads["W_dec"].index_add_(0, latents, (low.T @ at_output).to(master))
    to_encoder = (at_pre.to(dtype).T @ operand).to(master)
    step.grads["W_enc"].T.index_add_(0, latents, to_encoder)
    step.grads["b_enc"].index_add_(0, latents, at_pre.sum(0))
    return share
