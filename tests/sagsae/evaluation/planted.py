"""An autoencoder whose code is written down, for measures whose right answer is known."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sagsae.autoencoders.base import Autoencoder


class Planted(Autoencoder):
    """Codes by a function.

    Args:
        decoder: [H, d].
        code: activations [B, d] -> code [B, H].
        bias: [d], the reconstruction of a code of zeros.
    """

    def __init__(
        self, decoder: Tensor, code: Callable[[Tensor], Tensor], bias: Tensor | None = None
    ):
        super().__init__(decoder.shape[1], decoder.shape[0])
        self.W_dec = nn.Parameter(decoder.float())
        self.code = code
        self.bias = torch.zeros(decoder.shape[1]) if bias is None else bias

    def code(self, x: Tensor) -> Tensor:
        return self.code(x)

    def reconstruct(self, z: Tensor) -> Tensor:
        return z @ self.W_dec + self.bias

    def loss(self, x: Tensor, lam: float) -> dict[str, Tensor]:
        raise NotImplementedError
