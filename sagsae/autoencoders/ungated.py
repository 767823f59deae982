"""Autoencoders without a gate: an activation function of pre-activations with a bias.

With ``pre = (x - c b_dec) W_enc + b_enc`` [B, H], where c is 1 for a centred encoder and 0 for a
plain one, the code ``z`` is a function of ``pre``, and ``x_hat = z W_dec + b_dec``. Each family has
a file of its own: which entries are active, and what its loss has beside the reconstruction

    mean_B |x - x_hat|^2

whose squares are summed over d.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from sagsae.autoencoders.dictionary import Dictionary, Sides, Vectors
from sagsae.schedules import DEFAULTS, Recipe


class UngatedAutoencoder(Dictionary):
    """A `Dictionary` with ``b_enc`` [H]."""

    vectors: ClassVar[tuple[str, ...]] = ("b_enc",)
    exact = ("threshold",)

    b_enc: Tensor
    centred: Tensor

    def __init__(self, d: int, width: int, scale: float = 1.0) -> None:
        super().__init__(d, width, scale)
        self.register_buffer("centred", torch.ones((), dtype=torch.int64))

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe = DEFAULTS) -> None:
        """As `Dictionary.initialise`; no bias of the encoder."""
        super().initialise(mean, seed, recipe)
        self.params["b_enc"].zero_()
        self.centred.fill_(recipe.encoder_input == "centred")

    @property
    def reads_centred(self) -> bool:
        return bool(self.centred)

    @property
    def subtracted(self) -> Tensor:
        return self.centred * self.b_dec

    def tracked(self, x: Tensor) -> Tensor:
        return super().tracked(x) + self.b_enc

    def pre_activations(self, x: Tensor, latents: Tensor | slice = slice(None)) -> Tensor:
        return super().pre_activations(x, latents) + self.b_enc[latents]

    def sides(self, v: Vectors) -> Sides:
        zero = torch.zeros_like(v["b_enc"])
        return Sides.shared(zero, zero, zero, self.two_sided)

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Self:
        """As of any module, but `exact` ones keep float32.

        A threshold in bfloat16 moves by steps of 0.4 %, and opens latents that were closed.
        """
        kept = {name: value for name, value in self.state_dict().items() if name in self.exact}
        apply: Callable[..., Self] = super()._apply
        found = apply(fn, *args, **kwargs)
        for name, value in kept.items():
            now = getattr(self, name)
            if now.dtype.itemsize < value.dtype.itemsize == 4:
                now.data = value.to(now.device)
        return found
