"""An autoencoder whose code is written down, for measures whose right answer is known."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from sagsae.autoencoders.base import Autoencoder


class Planted(Autoencoder):
    """Codes by a function.

    Args:
        decoder: [H, d].
        code: activations [B, d] -> code [B, H].
    """

    def __init__(self, decoder: Tensor, code: Callable[[Tensor], Tensor]):
        super().__init__(decoder.shape[1], decoder.shape[0])
        self.W_dec = nn.Parameter(decoder.float())
        self.code = code

    def code(self, x: Tensor) -> Tensor:
        return self.code(x)

    def reconstruct(self, z: Tensor) -> Tensor:
        return z @ self.W_dec

    def loss(self, x: Tensor, lam: float) -> dict[str, Tensor]:
        raise NotImplementedError
