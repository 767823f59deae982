"""Autoencoders that other libraries train, as far as they are measured here. They are not trained.

With ``h = (x - b_dec) W_enc + b_enc`` the code is a function of h, and ``x_hat = z W_dec + b_dec``.
Rows of ``W_dec`` are of unit norm. A Gated SAE of elsewhere is a ``gated`` here.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from sagsae.autoencoders.base import Autoencoder


class Foreign(Autoencoder):
    """Parameters ``W_enc`` [d, H], ``W_dec`` [H, d], ``b_enc`` [H], ``b_dec`` [d]."""

    W_enc: Tensor
    b_enc: Tensor
    b_dec: Tensor

    def __init__(self, d: int, width: int, scale: float = 1.0) -> None:
        super().__init__(d, width, scale)
        shapes = {"W_enc": (d, width), "W_dec": (width, d), "b_enc": (width,), "b_dec": (d,)}
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape), requires_grad=False))

    @abstractmethod
    def activate(self, h: Tensor) -> Tensor:
        """The code [B, H] of pre-activations [B, H]."""

    def encode(self, x: Tensor) -> Tensor:
        """Code z [B, H] of activations x [B, d], in the parameters' dtype."""
        return self.activate((x.to(self.W_enc.dtype) - self.b_dec) @ self.W_enc + self.b_enc)

    def decode(self, z: Tensor) -> Tensor:
        """Reconstruction [B, d] of a code [B, H]."""
        return z @ self.W_dec + self.b_dec

    def loss(self, x: Tensor, lam: float) -> dict[str, Tensor]:
        """Raises TypeError: it was trained elsewhere, by a loss that is not known."""
        raise TypeError(f"{self.name}: was trained by another library and is only measured here")


class Rectified(Foreign):
    """``z = ReLU(h)``: the standard SAE (Bricken et al. 2023)."""

    def activate(self, h: Tensor) -> Tensor:
        return h.clamp_min(0)


class JumpReLU(Foreign):
    """``z = ReLU(h) 1[h > threshold]`` (arXiv 2407.14435), with ``threshold`` [H].

    Also what BatchTopK (arXiv 2412.06410) and Matryoshka BatchTopK compute after training.
    """

    threshold: Tensor

    def __init__(self, d: int, width: int, scale: float = 1.0) -> None:
        super().__init__(d, width, scale)
        self.threshold = nn.Parameter(torch.zeros(width), requires_grad=False)

    def activate(self, h: Tensor) -> Tensor:
        return h.clamp_min(0) * (h > self.threshold)


class TopK(Foreign):
    """``z = ReLU(h)`` on the k largest ``h / norm``, else 0 (arXiv 2406.04093).

    ``norm`` [H] is what the rows of ``W_dec`` had in training, where latents were ranked by h
    before the norms were moved into the encoder.
    """

    k: Tensor
    norm: Tensor

    def __init__(self, d: int, width: int, scale: float = 1.0) -> None:
        super().__init__(d, width, scale)
        self.register_buffer("k", torch.zeros((), dtype=torch.int64))
        self.register_buffer("norm", torch.ones(width))

    def activate(self, h: Tensor) -> Tensor:
        chosen = (h / self.norm).topk(int(self.k), dim=1).indices
        return torch.zeros_like(h).scatter(1, chosen, h.gather(1, chosen).clamp_min(0))


class AbsTopK(TopK):
    """``z = h`` on the k largest ``|h / norm|``, else 0 (arXiv 2510.00404)."""

    def activate(self, h: Tensor) -> Tensor:
        chosen = (h / self.norm).abs().topk(int(self.k), dim=1).indices
        return torch.zeros_like(h).scatter(1, chosen, h.gather(1, chosen))
