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

from sagsae.autoencoders.base import Add, Autoencoder, Vectors


class _SignAware(Autoencoder):
    """Two-sided gate; subclasses say which of (theta, r, c) the two sides share.

    A shared parameter is one vector (``theta``); a free one is two (``theta_pos``, ``theta_neg``).
    """

    two_sided = True

    def _sided(self, name: str, v: Vectors, positive: Tensor) -> Tensor:
        """The vector's value on each element's side; the vector itself where both share it."""
        if name in v:
            return v[name]
        return torch.where(positive, v[f"{name}_pos"], v[f"{name}_neg"])

    def _add_sided(self, add: Add, name: str, value: Tensor, positive: Tensor) -> None:
        if name in self.params:
            add(name, value)
        else:
            add(f"{name}_pos", value * positive)
            add(f"{name}_neg", value * ~positive)

    def initialise_vectors(self, theta: float) -> None:
        for name, value in self.params.items():
            if name.startswith("theta"):
                value.fill_(theta)

    def sides(self, v: Vectors) -> tuple[Tensor, ...]:
        pairs = [self._pair(name, v) for name in ("theta", "r", "c")]
        (theta_pos, theta_neg), (r_pos, r_neg), (c_pos, c_neg) = pairs
        return theta_pos, theta_neg, r_pos.exp(), r_neg.exp(), c_pos, c_neg

    def _pair(self, name: str, v: Vectors) -> tuple[Tensor, Tensor]:
        return (v[name], v[name]) if name in v else (v[f"{name}_pos"], v[f"{name}_neg"])

    def add_side_gradients(self, sums: Tensor, grads: dict[str, Tensor]) -> None:
        for name, (positive, negative) in zip(
            ("theta", "r", "c"), sums.view(3, 2, -1), strict=True
        ):
            if name in grads:
                grads[name] += positive + negative
            else:
                grads[f"{name}_pos"] += positive
                grads[f"{name}_neg"] += negative

    def codes(self, u: Tensor, v: Vectors, z: Tensor, a: Tensor) -> Tensor:
        size, positive = u.abs(), u > 0
        p = (size - self._sided("theta", v, positive)).clamp_min_(0)
        m = size.mul_(self._sided("r", v, positive).exp())
        m = m.add_(self._sided("c", v, positive)).clamp_min_(0)
        z.copy_(m.mul_(p > 0).copysign_(u))
        a.copy_(torch.copysign(p, u))
        return p.sum()

    def code_gradients(
        self, u: Tensor, v: Vectors, dz: Tensor, da: Tensor, penalty: float, du: Tensor, add: Add
    ) -> None:
        positive, size, sign = u > 0, u.abs(), u.sign()
        gain = self._sided("r", v, positive).exp()
        is_open = size > self._sided("theta", v, positive)
        scaled = size.mul_(gain)
        # From here on gradients are with respect to |z| and |a|, which the two sides share.
        dz = dz.mul_(sign).mul_(is_open & (scaled + self._sided("c", v, positive) > 0))
        da = da.mul_(sign).add_(penalty).mul_(is_open)
        self._add_sided(add, "theta", -da, positive)
        self._add_sided(add, "c", dz, positive)
        self._add_sided(add, "r", scaled.mul_(dz), positive)
        du.copy_(dz.mul_(gain).add_(da).mul_(sign))

    def project(self) -> None:
        for name, value in self.params.items():
            if name.startswith("theta"):
                value.clamp_min_(0)

    def reset_latents(self, silent: Tensor) -> tuple[str, ...]:
        changed = tuple(name for name in self.vectors if name.startswith(("theta", "c")))
        for name in changed:
            self.params[name].masked_fill_(silent, self.theta if name.startswith("theta") else 0.0)
        return changed


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

    def sides(self, v: Vectors) -> tuple[Tensor, ...]:
        theta, _, *others = super().sides(v)
        return theta, torch.full_like(theta, torch.inf), *others

    def codes(self, u: Tensor, v: Vectors, z: Tensor, a: Tensor) -> Tensor:
        return super().codes(u.clamp_min(0), v, z, a)

    def code_gradients(
        self, u: Tensor, v: Vectors, dz: Tensor, da: Tensor, penalty: float, du: Tensor, add: Add
    ) -> None:
        super().code_gradients(u.clamp_min_(0), v, dz, da, penalty, du, add)
