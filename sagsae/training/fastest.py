"""Which step computes the gradients of an autoencoder on a device."""

from __future__ import annotations

import torch

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.gate import GatedAutoencoder
from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.schedules import Recipe
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.cpu_step import CpuStep
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
    on_cpu, size = device.type == "cpu", recipe.batch_size
    if isinstance(sae, UngatedAutoencoder) and type(sae) in FAST and on_cpu:
        return UngatedStep(sae, size, dtype, recipe.k_at(0, min(sae.d, sae.width)))
    step: Step | AutogradStep
    if isinstance(sae, GatedAutoencoder) and sae.unit_rows and not sae.trains_auxiliary:
        if on_cpu:
            return CpuStep(sae, size, dtype)
        step = Step(sae, size, dtype)
    else:
        step = AutogradStep(sae, dtype)
    if isinstance(sae, GatedAutoencoder | UngatedAutoencoder) and device.type == "cuda":
        step.fuse()
    return step
