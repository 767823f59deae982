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

from sagsae.autoencoders.dictionary import COUNT, Sides, Vectors
from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.schedules import DEFAULTS, Recipe


class JumpRelu(UngatedAutoencoder):
    """``z = pre 1[pre > threshold]`` and an L0 penalty.

    Attributes:
        bandwidth: e.
        logarithmic: Whether ``threshold`` holds logarithms, which it does in training alone.
    """

    name = "jumprelu"
    vectors = ("b_enc", "threshold")
    penalised = COUNT
    bandwidth, logarithmic = 0.001, False

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe = DEFAULTS) -> None:
        """As `UngatedAutoencoder.initialise`; thresholds start at ``recipe.threshold_init``."""
        super().initialise(mean, seed, recipe)
        self.params["threshold"].fill_(recipe.threshold_init)
        self.logarithmic = recipe.threshold_parameter == "log"
        if self.logarithmic:
            self.params["threshold"].log_()
        self.project()

    def configure(self, recipe: Recipe) -> None:
        self.bandwidth = recipe.bandwidth

    def _threshold(self, v: Vectors) -> Tensor:
        return v["threshold"].exp() if self.logarithmic else v["threshold"]

    def activate(self, pre: Tensor, v: Vectors) -> Tensor:
        return pre * (self.key(pre) > self._threshold(v))

    def select(self, pre: Tensor, v: Vectors, knob: float) -> Tensor:
        jump = self._threshold(v).detach() * self._risen(pre, v)
        return self.activate(pre, v) + (jump * pre.sign() if self.two_sided else jump)

    def penalty(self, pre: Tensor, v: Vectors, z: Tensor) -> Tensor:
        return (self.key(pre) > self._threshold(v)) + self._risen(pre, v)

    def _risen(self, pre: Tensor, v: Vectors) -> Tensor:
        """Zeros [B, H], whose gradient at the threshold is that of the step, as estimated."""
        t, size = self._threshold(v), (pre.abs() if self.two_sided else pre).detach()
        near = (size - t.detach()).abs() < self.bandwidth / 2
        return near * ((t.detach() - t) / self.bandwidth)

    def sides(self, v: Vectors) -> Sides:
        t = self._threshold(v)
        return Sides.shared(t, torch.zeros_like(t), torch.zeros_like(t), self.two_sided)

    def tracked(self, x: Tensor) -> Tensor:
        """With the values of float32 products also under autocast, as on every device.

        Products in bfloat16 leave a grid that is coarser than the kernel. Gradients still are those
        of the faster products.
        """
        pre = super().tracked(x)
        if not torch.is_autocast_enabled(x.device.type):
            return pre
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            exact = self.pre_activations(x)
        return pre + (exact - pre).detach()

    def project(self) -> None:
        """No threshold is below half a bandwidth: there the kernel would reach below zero."""
        if not self.logarithmic:
            self.params["threshold"].clamp_min_(self.bandwidth / 2)

    @property
    def unfinished(self) -> str:
        return "finish()" if self.logarithmic else super().unfinished

    def finish(self) -> None:
        if self.logarithmic:
            self.params["threshold"].exp_()
            self.logarithmic = False
        super().finish()


class AbsJumpRelu(JumpRelu):
    """The same by |pre|, with its sign."""

    name = "absjumprelu"
    two_sided = True
