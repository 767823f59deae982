"""Gated sparse autoencoder (Rajamanoharan et al. 2024, arXiv 2404.16014)."""

from __future__ import annotations

import torch
from torch import Tensor

from sagsae.autoencoders.gate import GatedAutoencoder, Sides, Vectors


class Gated(GatedAutoencoder):
    """The baseline: one-sided gate and magnitude that share the encoder direction.

    ``p = ReLU(u + b_gate)``, ``m = ReLU(exp(r_mag) u + b_mag)``, ``z = 1[p > 0] m``, ``a = p``.
    """

    name = "gated"
    vectors = ("b_gate", "r_mag", "b_mag")
    log_gains = ("r_mag",)

    def sides(self, v: Vectors) -> Sides:
        never = torch.full_like(v["b_gate"], torch.inf)
        gain = v["r_mag"].exp()
        return -v["b_gate"], never, gain, gain, v["b_mag"], v["b_mag"]

    def initial_value(self, name: str) -> float:
        return -self.initial_theta if name == "b_gate" and self.matched_gate else 0.0

    def add_side_gradients(self, sums: Tensor, grads: dict[str, Tensor]) -> None:
        for name, value in zip(self.vectors, (-sums[0], sums[2], sums[4]), strict=True):
            grads[name] += value
