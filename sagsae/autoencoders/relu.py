"""The standard SAE: ReLU and an L1 penalty (Bricken et al. 2023; Anthropic, April 2024 update).

    z = ReLU(pre)        penalty = mean_B sum_i z_i |w_i|, with w_i the decoder's rows

Rows have norm 1, or any (``decoder_norm: free``), as in the update of April 2024; after training
free norms are moved into the encoder. There is neither resampling nor a term for dead latents.

`AbsRelu` is its two-sided form **(this project's)**: soft thresholding. A latent with direction w
and threshold t >= 0 is the two latents (w, b - t, v) and (-w, -b - t, -v) of a standard SAE.

    z = sign(pre) ReLU(|pre| - threshold)       penalty = mean_B sum_i |z_i| |w_i|
"""

from __future__ import annotations

import torch
from torch import Tensor

from sagsae.autoencoders.dictionary import SIZE, Sides, Vectors
from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.schedules import DEFAULTS, Recipe


class Relu(UngatedAutoencoder):
    """``z = ReLU(pre)`` and an L1 penalty."""

    name = "relu"
    may_free_rows = True
    penalised = SIZE

    def activate(self, pre: Tensor, v: Vectors) -> Tensor:
        return pre.relu()

    def penalty(self, pre: Tensor, v: Vectors, z: Tensor) -> Tensor:
        return z.abs()


class AbsRelu(Relu):
    """``z = sign(pre) ReLU(|pre| - threshold)``, with ``threshold`` [H] >= 0."""

    name = "absrelu"
    vectors = ("b_enc", "threshold")
    two_sided = True

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe = DEFAULTS) -> None:
        """As `Relu`; thresholds start at ``recipe.threshold_init``."""
        super().initialise(mean, seed, recipe)
        self.params["threshold"].fill_(recipe.threshold_init)

    def activate(self, pre: Tensor, v: Vectors) -> Tensor:
        return pre.sign() * (pre.abs() - v["threshold"]).relu()

    def sides(self, v: Vectors) -> Sides:
        t = v["threshold"]
        return Sides.shared(t, torch.zeros_like(t), -t, two_sided=True)

    def project(self) -> None:
        self.params["threshold"].clamp_min_(0)
