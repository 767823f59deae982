"""The one-sided Gated SAE that equals an autoencoder with a gate, in the units of raw activations.

A two-sided latent ``(w, theta+, theta-, gain+, gain-, c+, c-, v)`` is two gated ones:
``(w, b_gate = -theta+, r_mag = log gain+, b_mag = c+, v)`` and
``(-w, b_gate = -theta-, r_mag = log gain-, b_mag = c-, -v)``. Both thresholds are non-negative, so
the two never fire together. The scale s of the activations is taken out: ``b_dec``, ``b_gate`` and
``b_mag`` are divided by s and the matrices stay, so that decoder rows keep unit norm and codes are
in the units of the activations.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.gate import GatedAutoencoder, Sides

UNIT = 1e-3
"""How far from 1 the norm of a decoder row may be."""
AGREES = 1e-9
"""Largest difference, relative to the norm, of what both compute in float64."""
NOISE = 1e-3
TRIED = 64
"""Latents that the comparison opens, on each side."""


class NoEqualError(ValueError):
    """An autoencoder that no Gated SAE equals; the message says why."""


@dataclass(frozen=True)
class GatedWeights:
    """A Gated SAE (arXiv 2404.16014) of raw activations x [B, d], with K latents.

    ``f = 1[u + b_gate > 0] ReLU(exp(r_mag) u + b_mag)`` with ``u = (x - b_dec) W_enc``, and
    ``x_hat = f W_dec + b_dec``.

    Attributes:
        W_enc: [d, K].
        W_dec: [K, d], rows of unit norm.
        b_dec: [d].
        b_gate, r_mag, b_mag: [K].
    """

    W_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    b_gate: Tensor
    r_mag: Tensor
    b_mag: Tensor

    def encode(self, x: Tensor) -> Tensor:
        """The code f [B, K], in the units of x."""
        u = (x - self.b_dec) @ self.W_enc
        return (u + self.b_gate > 0) * torch.relu(self.r_mag.exp() * u + self.b_mag)

    def decode(self, f: Tensor) -> Tensor:
        """The reconstruction [B, d] of a code [B, K]."""
        return f @ self.W_dec + self.b_dec

    def to(self, dtype: torch.dtype) -> GatedWeights:
        """The same in another type, each tensor with memory of its own."""
        made = {name: value.to(dtype).contiguous() for name, value in vars(self).items()}
        return GatedWeights(**made)


def equal_gated(autoencoder: Autoencoder) -> GatedWeights:
    """The Gated SAE that computes what an autoencoder does, in float64 on the CPU.

    Args:
        autoencoder: Any `GatedAutoencoder` of width H. It is left as it is.

    Returns:
        Of K = H latents where the gate has one side. Of K = 2H where it has two: latents i and
        i + H are the positive and the negative side of latent i.

    Raises:
        NoEqualError: the autoencoder is of another kind, its decoder rows are not of unit norm, a
            gain is not positive, or it computes something else than its ``sides`` say.
    """
    kind = type(autoencoder).__name__
    if not isinstance(autoencoder, GatedAutoencoder):
        raise NoEqualError(
            f"{autoencoder.name}: {kind} has no gate and is of no family that SAELens has, so it "
            "has no equal there; save it with Autoencoder.save instead"
        )
    params = {name: value.double().cpu() for name, value in autoencoder.params.items()}
    if bool(((params["W_dec"].norm(dim=1) - 1).abs() > UNIT).any()):
        raise NoEqualError(
            f"{autoencoder.name}: rows of W_dec are not of unit norm; call fold_norms() first"
        )
    sides = autoencoder.sides({name: params[name] for name in autoencoder.vectors})
    found = _joined(params, sides, autoencoder.two_sided, autoencoder.scale)
    if not all(bool(value.isfinite().all()) for value in vars(found).values()):
        raise NoEqualError(
            f"{autoencoder.name}: a weight is not finite, or a gain is not positive, and SAELens "
            "keeps gains as logarithms"
        )
    _require_agreement(autoencoder, params, sides, found)
    return found


def _joined(params: dict[str, Tensor], sides: Sides, two_sided: bool, scale: float) -> GatedWeights:
    theta, gain, c = (
        torch.cat(pair) if two_sided else pair[0]
        for pair in zip(sides[::2], sides[1::2], strict=True)
    )
    W_enc, W_dec = params["W_enc"], params["W_dec"]
    return GatedWeights(
        W_enc=torch.cat([W_enc, -W_enc], dim=1) if two_sided else W_enc,
        W_dec=torch.cat([W_dec, -W_dec]) if two_sided else W_dec,
        b_dec=params["b_dec"] / scale,
        b_gate=-theta / scale,
        r_mag=gain.log(),
        b_mag=c / scale,
    )


def _require_agreement(
    autoencoder: GatedAutoencoder, params: dict[str, Tensor], sides: Sides, found: GatedWeights
) -> None:
    """Compare both on activations that open latents: a class may compute more than its sides."""
    twin = deepcopy(autoencoder).double().cpu()
    x = _opening(params, sides, autoencoder.two_sided)
    with torch.no_grad():
        z = twin.encode(x)
        ours = z / twin.scale, twin.decode(z) / twin.scale
        f = found.encode(x / twin.scale)
    H = autoencoder.width
    signed = f[:, :H] - f[:, H:] if autoencoder.two_sided else f
    for of, other in zip(ours, (signed, found.decode(f)), strict=True):
        if not bool((of - other).norm() <= AGREES * of.norm()):
            raise NoEqualError(
                f"{autoencoder.name}: {type(autoencoder).__name__} computes something else than "
                "the gate that its method `sides` gives, so it has no equal in SAELens"
            )


def _opening(params: dict[str, Tensor], sides: Sides, two_sided: bool) -> Tensor:
    """Normalised activations: for some latents, one on each side that is well beyond its threshold.

    What the gate of a side lets through begins where its magnitude does, too. A little noise keeps
    all other latents off a threshold of zero, where rounding would open them.
    """
    W_enc = params["W_enc"]
    chosen = torch.linspace(0, W_enc.shape[1] - 1, min(TRIED, W_enc.shape[1])).round().long()
    w = W_enc[:, chosen].T
    reach = torch.finfo(w.dtype).eps + w.square().sum(1)
    rows = []
    for k, sign in enumerate((1.0, -1.0) if two_sided else (1.0,)):
        theta, gain, c = (sides[2 * n + k][chosen] for n in range(3))
        least = torch.maximum(theta, -c / gain).clamp_min(0)
        rows.append(sign * (2 * least + 0.1)[:, None] * w / reach[:, None])
    x = params["b_dec"] + torch.cat(rows)
    noise = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0))
    return x + NOISE * noise
