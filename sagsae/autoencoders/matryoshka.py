"""Matryoshka BatchTopK (Bussmann et al. 2025, arXiv 2503.17547), and its two-sided form.

Latents are selected as by BatchTopK, over all of them at once. Nested groups of the first latents
must each reconstruct the activations alone: with ends M of the groups,

    sum over m in M of mean_B |x - z_{0:m} W_dec_{0:m} - b_dec|^2

The last group is the whole dictionary; its error is ``reconstruction``, that of the others together
``levels``. The order of latents means something: nothing may sort or prune them.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from sagsae.autoencoders.batchtopk import BatchTopK
from sagsae.schedules import LEVELS, Recipe


class Matryoshka(BatchTopK):
    """BatchTopK whose first latents reconstruct by themselves.

    Attributes:
        levels: Ends of the groups in latents, ascending; the last is H.
        level_weight: Of the error of each level: 1, or one over their number where they are
            averaged.
    """

    name = "matryoshka_batchtopk"

    def __init__(self, d: int, width: int, scale: float = 1.0) -> None:
        super().__init__(d, width, scale)
        self.levels = ends(LEVELS, width)

    def configure(self, recipe: Recipe) -> None:
        """Take the groups of the recipe."""
        self.levels = ends(recipe.matryoshka_levels, self.width)
        self.level_weight = 1.0 if recipe.level_reduction == "sum" else 1 / len(self.levels)

    def errors(self, x: Tensor, z: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        error, squares = x - self.b_dec, []
        for first, last in pairwise((0, *self.levels)):
            error = error - z[:, first:last] @ self.W_dec[first:last]
            squares.append(error.square().sum(1).mean())
        inner = torch.stack(squares[:-1]).sum() if squares[:-1] else x.new_zeros(())
        return {"reconstruction": squares[-1], "levels": inner}, error

    def weights(self, lam: float) -> dict[str, float]:
        levels = {"reconstruction": self.level_weight, "levels": self.level_weight}
        return super().weights(lam) | levels


class AbsMatryoshka(Matryoshka):
    """The same by |pre|, with its sign."""

    name = "matryoshka_absbatchtopk"
    two_sided = True


def ends(shares: tuple[float, ...], width: int) -> tuple[int, ...]:
    """Ends of nested groups in latents, from shares of the width; groups without a latent go."""
    found = dict.fromkeys(int(share * width) for share in shares[:-1])
    return (*(end for end in found if 0 < end < width), width)
