"""AuxK: dead latents learn from the error that the live ones leave (arXiv 2406.04093, app. A.2).

With e = sg(x - x_hat) and z the rectified pre-activations of the k_aux dead latents that are
strongest on each token,

    auxiliary = mean_B |e - z W_dec|^2 / mean_B |e - mean_B e|^2

There is no bias in it. It is the share of the error's variance that the dead latents leave, so it
does not depend on the scale of the activations. Two-sided variants rank by |pre| and keep the sign.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def nearest_power_of_two(value: float) -> int:
    """The power of two nearest to a positive number, on a log scale; at least 1."""
    return 1 << max(0, round(math.log2(value)))


# Entries from which PyTorch sorts on a GPU at once, at most: their number is an int32 there.
LARGEST_SORT = 2**30


def strongest(codes: Tensor, keys: Tensor, most: int) -> Tensor:
    """The ``most`` codes of the largest keys along the last axis, zero elsewhere; both [..., H]."""
    if most >= codes.shape[-1]:
        return codes
    parts, chosen = keys.split(LARGEST_SORT, dim=-1), None
    if len(parts) > 1:  # the largest of all are among the largest of each part
        tops = [part.topk(min(most, part.shape[-1]), dim=-1, sorted=False) for part in parts]
        chosen = torch.cat([top.indices + i * LARGEST_SORT for i, top in enumerate(tops)], -1)
        keys = torch.cat([top.values for top in tops], -1)
    last = keys.topk(most, dim=-1, sorted=False).indices
    chosen = last if chosen is None else chosen.gather(-1, last)
    return torch.zeros_like(codes).scatter(-1, chosen, codes.gather(-1, chosen))


def auxk_loss(error: Tensor, pre: Tensor, rows: Tensor, most: int, two_sided: bool) -> Tensor:
    """The AuxK term, zero where no latent is dead or the error does not vary.

    Args:
        error: [B, d] of the live latents, without gradients.
        pre: [B, D] pre-activations of the D dead latents.
        rows: [D, d] of the decoder.
        most: Dead latents that are active on a token, at most.
        two_sided: Whether negative pre-activations count by their size, and keep their sign.
    """
    if not pre.shape[1]:
        return error.new_zeros(())
    codes = pre if two_sided else pre.relu()
    left = error - strongest(codes, codes.abs(), most) @ rows
    variance = (error - error.mean(0)).square().sum(1).mean()
    usable = variance.isfinite() & (variance > 0)  # else its gradients would not be numbers
    share = left.square().sum(1).mean() / torch.where(usable, variance, 1.0)
    return torch.where(usable, share, 0.0)
