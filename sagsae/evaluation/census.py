"""Which latents fire on both signs, among all that live and among those that matter most."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sagsae.evaluation.distributions import rounded


def share(part: Tensor, whole: Tensor) -> float | None:
    """A ratio of counts; None where there is nothing."""
    return int(part) / int(whole) if int(whole) else None


def top(contribution: Tensor, live: Tensor, fraction: float) -> Tensor:
    """The latents that contribute most, largest first; of equals the one with the lower number.

    Args:
        contribution: [H] sum over tokens of ``|z_i v_i|^2``, which is z_i^2 as rows have unit norm.
        live: [H] bool, latents that fire at all.
        fraction: Share of the live latents to take, at least one where there is one.
    """
    order = torch.sort(contribution.where(live, -1.0), descending=True, stable=True).indices
    return order[: math.ceil(fraction * int(live.sum()))]


def bipolar_fraction(counts: Tensor, latents: Tensor) -> float | None:
    """Share of some latents that fire with both signs; None where there are none.

    Args:
        counts: [2, H] firings by sign.
        latents: [k] numbers of live latents.
    """
    both = (counts[:, latents] > 0).all(0)
    return share(both.sum(), torch.tensor(len(latents)))


def mean_minority_share(minority_share: Tensor, latents: Tensor) -> float | None:
    """Mean of ``min(n+, n-) / (n+ + n-)`` [H] over some live latents, six significant digits."""
    return rounded(float(minority_share[latents].mean())) if len(latents) else None
