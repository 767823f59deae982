"""Sign-Aware Gated sparse autoencoders (arXiv 2605.28149), after the paper's text and claims.

The paper's equations were not at hand; this form is a reconstruction. Each latent has a dead zone
``[-theta-, theta+]`` around zero and opens on either side of it (Bi-Jump-ReLU):

    p+ = ReLU(u - theta+),  m+ = ReLU( exp(r+) u + c+)      z = 1[p+ > 0] m+ - 1[p- > 0] m-
    p- = ReLU(-u - theta-), m- = ReLU(-exp(r-) u + c-)      a = p+ - p-

Thresholds are kept non-negative, so the two sides never open together.
"""

from __future__ import annotations

from sagsae.autoencoders.declaration import Sides, Vectors
from sagsae.autoencoders.gated import GatedAutoencoder


class FreeSignAware(GatedAutoencoder):
    """Nothing tied: each side has its own threshold, magnitude scale and magnitude bias."""

    name = "sagsae"
    vectors = ("theta_pos", "theta_neg", "r_pos", "r_neg", "c_pos", "c_neg")
    thresholds, log_gains = ("theta_pos", "theta_neg"), ("r_pos", "r_neg")
    two_sided = True

    def sides(self, v: Vectors) -> Sides:
        return Sides(*(v[name] for name in self.vectors))


class SymmetricSignAware(GatedAutoencoder):
    """Magnitude scales tied, ``r+ = r-``; the default that the paper's first version recommends."""

    name = "sagsae_sym"
    vectors = ("theta_pos", "theta_neg", "r", "c_pos", "c_neg")
    thresholds, log_gains = ("theta_pos", "theta_neg"), ("r",)
    two_sided = True

    def sides(self, v: Vectors) -> Sides:
        r = v["r"]
        return Sides(v["theta_pos"], v["theta_neg"], r, r, v["c_pos"], v["c_neg"])


class TiedSignAware(GatedAutoencoder):
    """All tied: ``theta+ = theta-``, ``r+ = r-``, ``c+ = c-``; the second version's default."""

    name = "sagsae_tied"
    vectors = ("theta", "r", "c")
    thresholds, log_gains = ("theta",), ("r",)
    two_sided = True

    def sides(self, v: Vectors) -> Sides:
        return Sides.shared(v["theta"], v["r"], v["c"], self.two_sided)


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
