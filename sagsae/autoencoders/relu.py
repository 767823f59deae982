"""The standard SAE: ReLU and an L1 penalty (Bricken et al. 2023; Anthropic, April 2024 update).

    z = ReLU(pre)        penalty = mean_B sum_i z_i |w_i|, with w_i the decoder's rows

Rows have norm 1, or any (``decoder_norm: free``), as in the update of April 2024; after training
free norms are moved into the encoder. There is neither resampling nor a term for dead latents.

`AbsRelu` is its two-sided form **(this project's)**: soft thresholding. A latent with direction w
and threshold t >= 0 is the two latents (w, b - t, v) and (-w, -b - t, -v) of a standard SAE.

    z = sign(pre) ReLU(|pre| - threshold)       penalty = mean_B sum_i |z_i| |w_i|
"""

from __future__ import annotations

import torch

from sagsae.autoencoders.declaration import SIZE, Sides, Vectors
from sagsae.autoencoders.ungated import UngatedAutoencoder


class Relu(UngatedAutoencoder):
    """``z = ReLU(pre)`` and an L1 penalty."""

    name = "relu"
    may_free_rows = True
    penalised = SIZE


class AbsRelu(Relu):
    """``z = sign(pre) ReLU(|pre| - threshold)``, with ``threshold`` [H] >= 0."""

    name = "absrelu"
    vectors = ("b_enc", "threshold")
    thresholds = ("threshold",)
    two_sided = True

    def sides(self, v: Vectors) -> Sides:
        t = v["threshold"]
        return Sides.shared(t, torch.zeros_like(t), -t, two_sided=True)
