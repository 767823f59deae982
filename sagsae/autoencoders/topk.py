"""TopK (Gao et al. 2024, arXiv 2406.04093) and AbsTopK (arXiv 2510.00404): k active latents.

TopK keeps the k largest pre-activations of a token, rectified. AbsTopK keeps the k of the largest
size, with their sign: one latent serves both signs. Nothing is penalised; dead latents are revived
by AuxK (`sagsae.autoencoders.auxk`). The gradient passes through the kept entries alone.

AbsTopK with k is TopK with k on the pre-activations [pre, -pre] of 2H latents.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sagsae.autoencoders.auxk import nearest_power_of_two
from sagsae.autoencoders.base import Target
from sagsae.autoencoders.declaration import BY_ROW
from sagsae.autoencoders.linear_map import LinearMap
from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.training.recipe import DEFAULTS, Recipe


class KSparse(UngatedAutoencoder):
    """An autoencoder with a number of active latents, ``k``, kept as a buffer."""

    def __init__(
        self, d: int, width: int, scale: float = 1.0, target: Target | None = None
    ) -> None:
        super().__init__(d, width, scale, target)
        self.register_buffer("k", torch.zeros((), dtype=torch.int64))

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe = DEFAULTS) -> None:
        """As `UngatedAutoencoder.initialise`.

        Raises:
            ValueError: the recipe has no k from 1 to H.
        """
        super().initialise(mean, seed, recipe)
        if not 0 < recipe.k <= self.width:
            raise ValueError(
                f"{self.name} of {self.width} latents: k is {recipe.k}; give 1 to the width"
            )
        self.k.fill_(recipe.k)
        self._vary(mean, recipe)
        if recipe.auxk_coefficient:
            self.auxk_coefficient = recipe.auxk_coefficient
            self.auxk_latents = recipe.auxk_latents or nearest_power_of_two(self.d / 2)
            self.dead_window_tokens = recipe.dead_window_tokens

    def start_from(self, linear: LinearMap, recipe: Recipe) -> None:
        super().start_from(linear, recipe)
        self._vary(linear.mean_out, recipe)

    def _vary(self, mean: Tensor, recipe: Recipe) -> None:
        """Take the variance of what is predicted from its mean [d_out]."""
        total = self.d_out if recipe.input_norm == "sqrt_d" else 1
        spread = total - float(mean.double().square().sum())
        self.variance = max(spread, total * torch.finfo(torch.float32).eps)


class TopK(KSparse):
    """``z = ReLU(pre)`` on the k largest pre-activations of each row, else 0."""

    name = "topk"
    opened = BY_ROW


class AbsTopK(TopK):
    """``z = pre`` on the k pre-activations of the largest size of each row, else 0."""

    name = "abstopk"
    two_sided = True
