"""JumpReLU (Rajamanoharan et al. 2024, arXiv 2407.14435), and its two-sided form.

    z = pre 1[pre > threshold]        penalty = mean_B sum_i 1[pre_i > threshold_i]

The penalty is the L0 itself. Neither it nor the jump has a gradient of its own; both are estimated
with a kernel K, which is 1 on |u| < 1/2, of bandwidth e:

    d z / d threshold         = -(threshold / e) K((pre - threshold) / e)
    d penalty / d threshold   = -(1 / e) K((pre - threshold) / e)

and d z / d pre is 1 on active entries. So the penalty trains thresholds alone. A recipe may train
their logarithms instead, as the paper does; Adam then moves a threshold by a share of itself.

`AbsJumpRelu` has ``z = pre 1[|pre| > threshold]`` **(this project's)**: one latent serves both
signs, with the same estimators at |pre|.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sagsae.autoencoders.declaration import COUNT, Sides, Vectors
from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.training.recipe import DEFAULTS, Recipe


class JumpRelu(UngatedAutoencoder):
    """``z = pre 1[pre > threshold]`` and an L0 penalty.

    Attributes:
        bandwidth: e.
        logarithmic: Whether ``threshold`` holds logarithms, which it does in training alone.
    """

    name = "jumprelu"
    vectors = ("b_enc", "threshold")
    thresholds = ("threshold",)
    penalised = COUNT
    bandwidth, logarithmic = 0.001, False

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe = DEFAULTS) -> None:
        """As `UngatedAutoencoder.initialise`; thresholds become logarithms where the recipe says
        so."""
        super().initialise(mean, seed, recipe)
        self.logarithmic = recipe.threshold_parameter == "log"
        if self.logarithmic:
            self.params["threshold"].log_()
        self.project()

    def configure(self, recipe: Recipe) -> None:
        self.bandwidth = recipe.bandwidth

    def sides(self, v: Vectors) -> Sides:
        t = v["threshold"].exp() if self.logarithmic else v["threshold"]
        return Sides.shared(t, torch.zeros_like(t), torch.zeros_like(t), self.two_sided)

    def project(self) -> None:
        if not self.logarithmic:
            super().project()

    @property
    def unfinished(self) -> str:
        return "finish()" if self.logarithmic else super().unfinished

    def finish(self) -> None:
        if self.logarithmic:
            self.params["threshold"].exp_()
            self.logarithmic = False
        super().finish()


class AbsJumpRelu(JumpRelu):
    """``z = pre 1[|pre| > threshold]`` and an L0 penalty."""

    name = "absjumprelu"
    two_sided = True
