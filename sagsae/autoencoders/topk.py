"""TopK (Gao et al. 2024, arXiv 2406.04093) and AbsTopK (arXiv 2510.00404): k active latents.

TopK keeps the k largest pre-activations of a token, rectified. AbsTopK keeps the k of the largest
size, with their sign: one latent serves both signs. Nothing is penalised; dead latents are revived
by AuxK (`sagsae.autoencoders.auxk`). The gradient passes through the kept entries alone.

AbsTopK with k is TopK with k on the pre-activations [pre, -pre] of 2H latents.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.schedules import Recipe


class KSparse(UngatedAutoencoder):
    """An autoencoder with a number of active latents, ``k``, kept as a buffer."""

    revives = True

    k: Tensor

    def __init__(self, d: int, width: int, scale: float = 1.0) -> None:
        super().__init__(d, width, scale)
        self.register_buffer("k", torch.zeros((), dtype=torch.int64))

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe | None = None) -> None:
        """As `UngatedAutoencoder.initialise`.

        Raises:
            ValueError: the recipe has no k from 1 to H.
        """
        super().initialise(mean, seed, recipe)
        k = 0 if recipe is None else recipe.k
        if not 0 < k <= self.width:
            raise ValueError(f"{self.name} of {self.width} latents: k is {k}; give 1 to the width")
        self.k.fill_(k)


class TopK(KSparse):
    """``z = ReLU(pre)`` on the k largest pre-activations of each row, else 0."""

    name = "topk"

    def activate(self, pre: Tensor) -> Tensor:
        return self.select(pre, int(self.k))

    def select(self, pre: Tensor, knob: float) -> Tensor:
        chosen = self.key(pre).topk(int(knob), dim=1, sorted=False).indices
        kept = pre.gather(1, chosen)
        kept = kept if self.two_sided else kept.relu()
        return torch.zeros_like(pre).scatter(1, chosen, kept)


class AbsTopK(TopK):
    """``z = pre`` on the k pre-activations of the largest size of each row, else 0."""

    name = "abstopk"
    two_sided = True


def as_topk(sae: AbsTopK) -> TopK:
    """The TopK of twice the width that computes the same.

    Latents i and i + H are the positive and the negative side of latent i.
    """
    split = TopK(sae.d, 2 * sae.width, sae.scale)
    state: dict[str, Any] = sae.state_dict()
    state["W_enc"] = torch.cat([state["W_enc"], -state["W_enc"]], dim=1)
    state["b_enc"] = torch.cat([state["b_enc"], -state["b_enc"]])
    state["W_dec"] = torch.cat([state["W_dec"], -state["W_dec"]])
    split.load_state_dict(state)
    return split
