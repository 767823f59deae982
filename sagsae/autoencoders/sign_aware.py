"""Sign-Aware Gated sparse autoencoders (arXiv 2605.28149), after the paper's text and claims.

The paper's equations were not at hand; this form is a reconstruction. Each latent has a dead zone
``[-theta-, theta+]`` around zero and opens on either side of it (Bi-Jump-ReLU):

    p+ = ReLU(u - theta+),  m+ = ReLU( exp(r+) u + c+)      z = 1[p+ > 0] m+ - 1[p- > 0] m-
    p- = ReLU(-u - theta-), m- = ReLU(-exp(r-) u + c-)      a = p+ - p-

Thresholds are kept non-negative, so the two sides never open together.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sagsae.autoencoders.gate import GatedAutoencoder, Sides, Vectors


class _SignAware(GatedAutoencoder):
    """Two-sided gate; subclasses say which of (theta, r, c) the two sides share.

    A shared parameter is one vector (``theta``); a free one is two (``theta_pos``, ``theta_neg``).
    """

    two_sided = True
    thresholds = ("theta", "theta_pos", "theta_neg")
    log_gains = ("r", "r_pos", "r_neg")

    def sides(self, v: Vectors) -> Sides:
        gains = {name: v[name].exp() for name in self.vectors if name in self.log_gains}
        return *_pair("theta", v), *_pair("r", gains), *_pair("c", v)

    def add_side_gradients(self, sums: Tensor, grads: dict[str, Tensor]) -> None:
        for name, (positive, negative) in zip(
            ("theta", "r", "c"), sums.view(3, 2, -1), strict=True
        ):
            if name in grads:
                grads[name] += positive + negative
            else:
                grads[f"{name}_pos"] += positive
                grads[f"{name}_neg"] += negative

    def project(self) -> None:
        for name in self.vectors:
            if name in self.thresholds:
                self.params[name].clamp_min_(0)


def _pair(name: str, v: Vectors) -> tuple[Tensor, Tensor]:
    """The vector's values on the two sides; the vector itself twice where both share it."""
    return (v[name], v[name]) if name in v else (v[f"{name}_pos"], v[f"{name}_neg"])


class FreeSignAware(_SignAware):
    """Nothing tied: each side has its own threshold, magnitude scale and magnitude bias."""

    name = "sagsae"
    vectors = ("theta_pos", "theta_neg", "r_pos", "r_neg", "c_pos", "c_neg")


class SymmetricSignAware(_SignAware):
    """Magnitude scales tied, ``r+ = r-``; the default that the paper's first version recommends."""

    name = "sagsae_sym"
    vectors = ("theta_pos", "theta_neg", "r", "c_pos", "c_neg")


class TiedSignAware(_SignAware):
    """All tied: ``theta+ = theta-``, ``r+ = r-``, ``c+ = c-``; the second version's default."""

    name = "sagsae_tied"
    vectors = ("theta", "r", "c")


class NoAuxiliarySignAware(SymmetricSignAware):
    """Ablation: no auxiliary term. Only lambda moves the thresholds then, and only upwards."""

    name = "sagsae_noaux"
    auxiliary = False


class OneSidedSignAware(TiedSignAware):
    """Ablation: the signed path removed, only ``p+`` and ``m+`` open.

    ``z = 1[p+ > 0] m+``, ``a = p+``, ``theta >= 0``: what the two-sided gate does with ReLU(u). A
    Gated SAE whose gate bias cannot be positive.
    """

    name = "sagsae_onesided"
    two_sided = False

    def sides(self, v: Vectors) -> Sides:
        theta, _, gain, _, c, _ = super().sides(v)
        return theta, torch.full_like(theta, torch.inf), gain, gain, c, c
