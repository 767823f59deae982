"""Gated sparse autoencoder (Rajamanoharan et al. 2024, arXiv 2404.16014)."""

from __future__ import annotations

from sagsae.autoencoders.declaration import Sides, Vectors
from sagsae.autoencoders.gate import GatedAutoencoder


class Gated(GatedAutoencoder):
    """The baseline: one-sided gate and magnitude that share the encoder direction.

    ``p = ReLU(u + b_gate)``, ``m = ReLU(exp(r_mag) u + b_mag)``, ``z = 1[p > 0] m``, ``a = p``.
    """

    name = "gated"
    vectors = ("b_gate", "r_mag", "b_mag")
    log_gains = ("r_mag",)

    def sides(self, v: Vectors) -> Sides:
        return Sides.shared(-v["b_gate"], v["r_mag"], v["b_mag"], two_sided=False)

    def initial_value(self, name: str) -> float:
        return -self.initial_theta if name == "b_gate" and self.matched_gate else 0.0
