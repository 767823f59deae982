"""What every step of a training gives back, and the dtype of its products."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import torch
from torch import Tensor

from sagsae.activations.cpu_products import has_bfloat16


class Terms(SimpleNamespace):
    """Loss terms of one batch, before their coefficients; scalars on the training device.

    An autoencoder of a user's own has names of its own for what is not listed here, and
    coefficients in them.

    Attributes:
        reconstruction: mean_B |x - x_hat|^2.
        penalty: What lambda weighs.
        auxiliary: A gate's mean_B |x - x_aux|^2, 0 where the variant has no such term; or AuxK.
        l0: mean_B count of z != 0.
    """

    reconstruction: Tensor
    penalty: Tensor
    auxiliary: Tensor
    l0: Tensor


def weighted_sum(terms: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The terms of a loss, each times its weight, which is 1 where there is none; without L0."""
    return sum(weights.get(name, 1.0) * value for name, value in terms.items() if name != "l0")


def products_dtype(choice: str, device: torch.device) -> torch.dtype:
    """That of a recipe: "auto" is bfloat16 where the device multiplies it in hardware, else
    float32."""
    if choice != "auto":
        return {"bfloat16": torch.bfloat16, "float32": torch.float32}[choice]
    if device.type == "cuda":
        # By default it says yes of every card, as PyTorch emulates bfloat16 where there is none.
        in_hardware = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        in_hardware = has_bfloat16()
    return torch.bfloat16 if in_hardware else torch.float32
