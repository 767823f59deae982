"""How much of a dictionary comes back when it is trained from another seed (arXiv 2505.20254)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from statistics import fmean

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from sagsae.evaluation.steering.directions import nearest, unit

# Cosine from which a direction counts as found in another dictionary.
FOUND = 0.7


@dataclass(frozen=True)
class Consistency:
    """Agreement of dictionaries that differ in their seed alone.

    Attributes:
        greedy: mean over latents of the best cosine with any latent of another seed.
        assigned: mean cosine where each latent of one seed takes another latent of the other one,
            so that the sum of cosines is largest (the Hungarian method).
        found: share of latents that have a latent at `FOUND` or more in every other seed.
    """

    greedy: float
    assigned: float
    found: float


def best_cosines(rows: Tensor, others: Tensor, *, either_sign: bool) -> Tensor:
    """[n] float32: the largest cosine of each of ``rows`` [n, d] with any of ``others`` [m, d].

    Args:
        rows: directions.
        others: directions of another dictionary, m > 0.
        either_sign: whether a direction and its opposite are the same, as for two-sided latents.
    """
    along, against = nearest(rows, others)[1].unbind(1)
    return torch.maximum(along, -against) if either_sign else along


def assigned_cosines(rows: Tensor, others: Tensor, *, either_sign: bool) -> Tensor:
    """[min(n, m)] float32: cosines of the one-to-one pairs whose sum is largest."""
    cosines = unit(rows) @ unit(others).T
    cosines = (cosines.abs() if either_sign else cosines).cpu()
    return cosines[linear_sum_assignment(cosines.numpy(), maximize=True)]


def consistency(decoders: Sequence[Tensor], *, either_sign: bool) -> Consistency:
    """Compare dictionaries of several seeds.

    Args:
        decoders: of each seed the rows [H, d] of its live latents; H may differ.
        either_sign: whether a direction and its opposite are the same, as for two-sided latents.

    Raises:
        ValueError: fewer than two seeds, or one without a live latent.
    """
    if len(decoders) < 2 or not all(map(len, decoders)):
        raise ValueError("consistency needs live latents of two seeds at least")
    best = {
        (i, j): best_cosines(decoders[i], decoders[j], either_sign=either_sign)
        for i, j in permutations(range(len(decoders)), 2)
    }
    assigned = [
        float(assigned_cosines(*pair, either_sign=either_sign).mean())
        for pair in combinations(decoders, 2)
    ]
    found = [
        torch.stack([cosines for (own, _), cosines in best.items() if own == seed]).amin(0) >= FOUND
        for seed in range(len(decoders))
    ]
    return Consistency(
        greedy=fmean(float(cosines.mean()) for cosines in best.values()),
        assigned=fmean(assigned),
        found=fmean(float(one.float().mean()) for one in found),
    )
