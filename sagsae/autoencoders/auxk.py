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


def strongest(pre: Tensor, most: int, two_sided: bool) -> Tensor:
    """Codes [B, D] of dead latents: the ``most`` strongest of each row, rectified or signed.

    Args:
        pre: [B, D] their pre-activations.
        most: Active ones of a row, at most.
        two_sided: Whether negative ones count by their size.
    """
    codes = pre if two_sided else pre.relu()
    if most >= pre.shape[1]:
        return codes
    chosen = (pre.abs() if two_sided else pre).topk(most, dim=1, sorted=False).indices
    return torch.zeros_like(codes).scatter(1, chosen, codes.gather(1, chosen))


def auxk_loss(
    error: Tensor, pre: Tensor, dead: Tensor | None, W_dec: Tensor, most: int, two_sided: bool
) -> Tensor:
    """The AuxK term, zero where no latent is dead or the error does not vary.

    Args:
        error: [B, d] of the live latents, without gradients.
        pre: [B, H] pre-activations.
        dead: [H] bool; None for none.
        W_dec: [H, d].
        most: Dead latents per token.
        two_sided: Whether latents serve both signs.
    """
    latents = pre.new_zeros(0, dtype=torch.int64) if dead is None else dead.nonzero()[:, 0]
    if not len(latents):
        return error.new_zeros(())
    codes = strongest(pre.index_select(1, latents), most, two_sided)
    left = error - codes @ W_dec.index_select(0, latents)
    variance = (error - error.mean(0)).square().sum(1).mean()
    usable = variance.isfinite() & (variance > 0)  # else its gradients would not be numbers
    share = left.square().sum(1).mean() / torch.where(usable, variance, 1.0)
    return torch.where(usable, share, 0.0)
