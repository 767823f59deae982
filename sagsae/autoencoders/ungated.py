"""Autoencoders without a gate: an activation function of pre-activations with a bias, ``b_enc``.

Each family has a file of its own: which entries are active, and what its loss has beside the
reconstruction

    mean_B |x - x_hat|^2

whose squares are summed over d.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from sagsae.autoencoders.declaration import Sides, Vectors
from sagsae.autoencoders.dictionary import Dictionary
from sagsae.training.recipe import DEFAULTS, Recipe


class UngatedAutoencoder(Dictionary):
    """A `Dictionary` with ``b_enc`` [H]; by itself ``z = ReLU(pre)``, or ``pre`` of two sides."""

    vectors: ClassVar[tuple[str, ...]] = ("b_enc",)
    exact = ("threshold",)

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe = DEFAULTS) -> None:
        """As `Declaration.initialise`; thresholds start at ``recipe.threshold_init``."""
        super().initialise(mean, seed, recipe)
        for name in self.thresholds:
            self.params[name].fill_(recipe.threshold_init)

    def sides(self, v: Vectors) -> Sides:
        zero = torch.zeros_like(v["b_enc"])
        return Sides.shared(zero, zero, zero, self.two_sided)

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Self:
        """As of any module, but `exact` ones keep float32.

        A threshold in bfloat16 moves by steps of 0.4 %, and opens latents that were closed.
        """
        kept = {name: value for name, value in self.state_dict().items() if name in self.exact}
        apply: Callable[..., Self] = super()._apply
        module = apply(fn, *args, **kwargs)
        for name, value in kept.items():
            now = getattr(self, name)
            if now.dtype.itemsize < value.dtype.itemsize == 4:
                now.data = value.to(now.device)
        return module
