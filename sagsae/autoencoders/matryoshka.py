"""Matryoshka BatchTopK (Bussmann et al. 2025, arXiv 2503.17547), and its two-sided form.

Latents are selected as by BatchTopK, over all of them at once. Nested groups of the first latents
must each reconstruct the activations alone: with ends M of the groups,

    sum over m in M of mean_B |x - z_{0:m} W_dec_{0:m} - b_dec|^2

The last group is the whole dictionary; its error is ``reconstruction``, that of the others together
``levels``. The order of latents means something: nothing may sort or prune them.
"""

from __future__ import annotations

from sagsae.autoencoders.base import Target
from sagsae.autoencoders.batchtopk import BatchTopK
from sagsae.training.recipe import LEVELS, Recipe


class Matryoshka(BatchTopK):
    """BatchTopK whose first latents reconstruct by themselves."""

    name = "matryoshka_batchtopk"
    nested = True

    def __init__(
        self, d: int, width: int, scale: float = 1.0, target: Target | None = None
    ) -> None:
        super().__init__(d, width, scale, target)
        self.levels = ends(LEVELS, width)

    def configure(self, recipe: Recipe) -> None:
        """Take the groups of the recipe, whose errors are added or averaged."""
        self.levels = ends(recipe.matryoshka_levels, self.width)
        self.level_weight = 1.0 if recipe.level_reduction == "sum" else 1 / len(self.levels)


class AbsMatryoshka(Matryoshka):
    """AbsBatchTopK whose first latents reconstruct by themselves."""

    name = "matryoshka_absbatchtopk"
    two_sided = True


def ends(shares: tuple[float, ...], width: int) -> tuple[int, ...]:
    """Ends of nested groups in latents, from shares of the width; groups without a latent go."""
    inner = dict.fromkeys(int(share * width) for share in shares[:-1])
    return (*(end for end in inner if 0 < end < width), width)
