"""The encoder's product, as autograd takes it."""

from __future__ import annotations

from torch import Tensor


def encoder_product(x: Tensor, W_enc: Tensor, b_dec: Tensor) -> Tensor:
    """(x - b_dec) W_enc [B, H] for autograd.

    The gradient of ``b_dec`` goes through a product of vectors, whose value is zero. Through
    ``x - b_dec`` it would take a matrix product as large as the encoder's.
    """
    shift = (b_dec.detach() - b_dec) @ W_enc.detach()
    return (x - b_dec.detach()) @ W_enc + shift
