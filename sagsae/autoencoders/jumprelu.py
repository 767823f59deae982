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

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.schedules import Recipe


class JumpRelu(UngatedAutoencoder):
    """``z = pre 1[pre > threshold]`` and an L0 penalty.

    Attributes:
        bandwidth: e.
        logarithmic: Whether ``threshold`` holds logarithms, which it does in training alone.
    """

    name = "jumprelu"
    vectors = ("b_enc", "threshold")

    threshold: Tensor

    def __init__(self, d: int, width: int, scale: float = 1.0) -> None:
        super().__init__(d, width, scale)
        self.bandwidth, self.logarithmic = 0.001, False

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe | None = None) -> None:
        """As `UngatedAutoencoder.initialise`; thresholds start at ``recipe.threshold_init``."""
        super().initialise(mean, seed, recipe)
        start = 0.001 if recipe is None else recipe.threshold_init
        self.bandwidth = 0.001 if recipe is None else recipe.bandwidth
        self.logarithmic = recipe is not None and recipe.threshold_parameter == "log"
        self.params["threshold"].fill_(start)
        if self.logarithmic:
            self.params["threshold"].log_()
        self.project()

    @property
    def thresholds(self) -> Tensor:
        """[H], whatever is trained."""
        return self.threshold.exp() if self.logarithmic else self.threshold

    def activate(self, pre: Tensor) -> Tensor:
        return pre * (self.key(pre) > self.thresholds)

    def select(self, pre: Tensor, knob: float) -> Tensor:
        return _jump(pre, self.thresholds, self.bandwidth, self.two_sided)

    def _tracked(self, x: Tensor) -> Tensor:
        """With the values of float32 products also under autocast, as on every device.

        Products in bfloat16 leave a grid that is coarser than the kernel. Gradients still are those
        of the faster products.
        """
        pre = super()._tracked(x)
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            exact = self._pre(x, self.W_enc, self.b_enc)
        return pre + (exact - pre).detach() if torch.is_autocast_enabled(x.device.type) else pre

    def penalty(self, pre: Tensor, z: Tensor) -> Tensor:
        size = pre.abs() if self.two_sided else pre
        return _step(size.detach(), self.thresholds, self.bandwidth).sum(1).mean()

    def encode_latents(self, x: Tensor, latents: Tensor) -> Tensor:
        """The columns ``latents`` [k] of ``encode(x)``, [B, k], at the cost of k latents."""
        pre = self._pre(x, self.W_enc[:, latents], self.b_enc[latents])
        return pre * (self.key(pre) > self.thresholds[latents])

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


def _window(size: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    """K((size - threshold) / bandwidth), in the dtype of ``size``."""
    return ((size - threshold).abs() < bandwidth / 2).to(size.dtype)


class _Jump(torch.autograd.Function):
    """The code; ``pre`` [B, H], ``threshold`` [H]."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float, signed: bool) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth, ctx.signed = bandwidth, signed
        return pre * ((pre.abs() if signed else pre) > threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        pre, threshold = ctx.saved_tensors
        size = pre.abs() if ctx.signed else pre
        toward = grad * pre.sign() if ctx.signed else grad
        at_edge = toward * _window(size, threshold, ctx.bandwidth)
        to_threshold = -(threshold / ctx.bandwidth) * at_edge.sum(0)
        return grad * (size > threshold), to_threshold.to(threshold.dtype), None, None


class _Step(torch.autograd.Function):
    """Which are active, as numbers; ``size`` [B, H], ``threshold`` [H]."""

    @staticmethod
    def forward(ctx: Any, size: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(size, threshold)
        ctx.bandwidth = bandwidth
        return (size > threshold).to(threshold.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        size, threshold = ctx.saved_tensors
        at_edge = (grad * _window(size, threshold, ctx.bandwidth)).sum(0)
        return None, (-at_edge / ctx.bandwidth).to(threshold.dtype), None


_jump: Callable[[Tensor, Tensor, float, bool], Tensor] = _Jump.apply
_step: Callable[[Tensor, Tensor, float], Tensor] = _Step.apply
