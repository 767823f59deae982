"""Which step computes the gradients of an autoencoder on a device."""

from __future__ import annotations

import torch

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.gate import GatedAutoencoder
from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.schedules import Recipe
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.cpu_step import CpuStep
from sagsae.training.free_step import FreeStep
from sagsae.training.step import Step
from sagsae.training.ungated_step import FAST, UngatedStep


def fastest_step(
    sae: Autoencoder, recipe: Recipe, dtype: torch.dtype, device: torch.device
) -> Step | AutogradStep | UngatedStep:
    """The fastest step that there is.

    Args:
        sae: The autoencoder, on the device.
        recipe: The run's recipe.
        dtype: Of the matrix products.
        device: Where it computes; on a GPU elementwise parts are compiled.
    """
    if isinstance(sae, GatedAutoencoder):
        return _of_a_gate(sae, recipe, dtype, device)
    if isinstance(sae, UngatedAutoencoder) and type(sae) in FAST and device.type == "cpu":
        most = recipe.k_at(0, min(sae.d, sae.width))
        return UngatedStep(sae, recipe.batch_size, dtype, most)
    step = AutogradStep(sae, dtype)
    if isinstance(sae, UngatedAutoencoder) and device.type == "cuda":
        step.fuse()
    return step


def _of_a_gate(
    sae: GatedAutoencoder, recipe: Recipe, dtype: torch.dtype, device: torch.device
) -> Step:
    trained = recipe.auxiliary_decoder == "trained"
    free = trained or not sae.unit_rows
    if device.type == "cpu" and not free:
        return CpuStep(sae, recipe.batch_size, dtype)
    sized = sae, recipe.batch_size, dtype
    step = FreeStep(*sized, trained=trained) if free else Step(*sized)
    if device.type == "cuda":
        step.fuse()
    return step
