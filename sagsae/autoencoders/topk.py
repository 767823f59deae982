"""TopK (Gao et al. 2024, arXiv 2406.04093) and AbsTopK (arXiv 2510.00404): k active latents.

TopK keeps the k largest pre-activations of a token, rectified. AbsTopK keeps the k of the largest
size, with their sign: one latent serves both signs. Nothing is penalised; dead latents are revived
by AuxK (`sagsae.autoencoders.auxk`). The gradient passes through the kept entries alone.

AbsTopK with k is TopK with k on the pre-activations [pre, -pre] of 2H latents.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sagsae.autoencoders.auxk import auxk_loss, nearest_power_of_two, strongest
from sagsae.autoencoders.dictionary import BY_ROW, Vectors
from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.schedules import DEFAULTS, Recipe


class KSparse(UngatedAutoencoder):
    """An autoencoder with a number of active latents, ``k``, kept as a buffer.

    Attributes:
        variance: Mean squared distance of the activations from their mean, which the weight of AuxK
            is relative to.
    """

    k: Tensor
    variance = 1.0

    def __init__(self, d: int, width: int, scale: float = 1.0) -> None:
        super().__init__(d, width, scale)
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
        total = self.d if recipe.input_norm == "sqrt_d" else 1
        spread = total - float(mean.double().square().sum())
        self.variance = max(spread, total * torch.finfo(torch.float32).eps)
        if recipe.auxk_coefficient:
            self.auxk_coefficient = recipe.auxk_coefficient
            self.auxk_latents = recipe.auxk_latents or nearest_power_of_two(self.d / 2)
            self.dead_window_tokens = recipe.dead_window_tokens

    def auxiliary_terms(
        self, x: Tensor, pre: Tensor, v: Vectors, error: Tensor
    ) -> dict[str, Tensor]:
        if not self.auxk_coefficient:
            return {}
        dead = pre.new_zeros(0, dtype=torch.int64) if self.dead is None else self.dead.nonzero()
        latents = dead.flatten()
        codes = strongest(pre.index_select(1, latents), self.auxk_latents, self.two_sided)
        rows = self.W_dec.index_select(0, latents)
        return {"auxiliary": auxk_loss(error.detach(), codes, rows)}

    def weights(self, lam: float) -> dict[str, float]:
        """Of AuxK its coefficient times the variance of the activations."""
        return {"auxiliary": self.auxk_coefficient * self.variance}


class TopK(KSparse):
    """``z = ReLU(pre)`` on the k largest pre-activations of each row, else 0."""

    name = "topk"
    opened = BY_ROW

    def activate(self, pre: Tensor, v: Vectors) -> Tensor:
        return self.select(pre, v, int(self.k))

    def select(self, pre: Tensor, v: Vectors, knob: float) -> Tensor:
        return strongest(pre, int(knob), self.two_sided)

    def code_of_latents(self, x: Tensor, latents: Tensor) -> Tensor:
        return self.code(x)[..., latents]


class AbsTopK(TopK):
    """``z = pre`` on the k pre-activations of the largest size of each row, else 0."""

    name = "abstopk"
    two_sided = True
