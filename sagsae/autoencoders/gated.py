"""Gated sparse autoencoder (Rajamanoharan et al. 2024, arXiv 2404.16014)."""

from __future__ import annotations

import torch
from torch import Tensor

from sagsae.autoencoders.base import Add, Autoencoder, Vectors


class Gated(Autoencoder):
    """The baseline: one-sided gate and magnitude that share the encoder direction.

    ``p = ReLU(u + b_gate)``, ``m = ReLU(exp(r_mag) u + b_mag)``, ``z = 1[p > 0] m``, ``a = p``.
    """

    name = "gated"
    vectors = ("b_gate", "r_mag", "b_mag")

    def sides(self, v: Vectors) -> tuple[Tensor, ...]:
        never = torch.full_like(v["b_gate"], torch.inf)
        gain = v["r_mag"].exp()
        return -v["b_gate"], never, gain, gain, v["b_mag"], v["b_mag"]

    def add_side_gradients(self, sums: Tensor, grads: dict[str, Tensor]) -> None:
        for name, value in zip(self.vectors, (-sums[0], sums[2], sums[4]), strict=True):
            grads[name] += value

    def codes(self, u: Tensor, v: Vectors, z: Tensor, a: Tensor) -> Tensor:
        p = (u + v["b_gate"]).clamp_min_(0)
        m = (u * v["r_mag"].exp()).add_(v["b_mag"]).clamp_min_(0)
        z.copy_(m.mul_(p > 0))
        a.copy_(p)
        return p.sum()

    def code_gradients(
        self, u: Tensor, v: Vectors, dz: Tensor, da: Tensor, penalty: Tensor, du: Tensor, add: Add
    ) -> None:
        gain = v["r_mag"].exp()
        is_open = u + v["b_gate"] > 0
        scaled = u.mul_(gain)
        dz = dz.mul_(is_open & (scaled + v["b_mag"] > 0))
        da = da.add_(penalty).mul_(is_open)
        add("b_gate", da)
        add("b_mag", dz)
        add("r_mag", scaled.mul_(dz))
        du.copy_(dz.mul_(gain).add_(da))
