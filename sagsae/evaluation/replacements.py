"""What is put in place of a hookpoint's activations at kept positions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder

# Maps activations [N, d] at kept positions, original units, to what replaces them.
Replace = Callable[[Tensor], Tensor]


def kept_only(replacement: Replace, kept: Tensor) -> Replace:
    """A replacement for `splice` that touches kept positions only.

    Args:
        replacement: see `Replace`; its result is converted to the model's dtype.
        kept: [B, L] bool.
    """

    def replaced(x: Tensor) -> Tensor:
        new = x.clone()
        new[kept] = replacement(x[kept]).to(x.dtype)
        return new

    return replaced


def zeros(x: Tensor) -> Tensor:
    """Zero ablation."""
    return torch.zeros_like(x)


def constant(mean: Tensor) -> Replace:
    """Mean ablation by a vector [d], original units."""
    return lambda x: mean.to(x.device, x.dtype).expand_as(x)


def reconstruction(autoencoder: Autoencoder) -> Replace:
    """Replacement by the reconstruction of an autoencoder on the model's device, in float32."""

    def replaced(x: Tensor) -> Tensor:
        z = autoencoder.code(x.float() * autoencoder.scale)
        return autoencoder.reconstruct(z) / autoencoder.scale

    return replaced
