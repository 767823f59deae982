"""Which step computes the gradients of an autoencoder on a device."""

from __future__ import annotations

import torch

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.dictionary import Dictionary
from sagsae.autoencoders.gate import GatedAutoencoder
from sagsae.autoencoders.registry import VARIANTS, variant
from sagsae.schedules import Recipe
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.cpu_step import CpuStep


def fastest_step(
    sae: Autoencoder, recipe: Recipe, dtype: torch.dtype, device: torch.device
) -> AutogradStep | CpuStep:
    """The fastest step that there is.

    Args:
        sae: The autoencoder, on the device.
        recipe: The run's recipe.
        dtype: Of the matrix products.
        device: Where it computes; on a GPU the loss of our own classes is compiled.
    """
    if isinstance(sae, Dictionary) and device.type == "cpu" and _its_sides_say_all(sae):
        most = recipe.k_at(0, min(sae.d, sae.width))
        return CpuStep(sae, recipe.batch_size, dtype, most=most)
    step = AutogradStep(sae, dtype)
    if isinstance(sae, Dictionary) and device.type == "cuda":
        step.fuse()
    return step


def _its_sides_say_all(sae: Dictionary) -> bool:
    """Whether the loss is what the sides of the gate make of it. Of a class without a gate that is
    not registered nothing is known."""
    if isinstance(sae, GatedAutoencoder):
        return sae.unit_rows and not sae.trains_auxiliary
    return sae.name in VARIANTS and type(sae) is variant(sae.name)
