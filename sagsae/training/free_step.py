"""The step of recipes that leave the decoder freer than arXiv 2404.16014 does, as SAELens.

Rows of the decoder may have any norm: the penalty is then lambda mean_B sum_i p_i |w_i| with w_i
the rows, which it trains too. And the auxiliary term may train the decoder and ``b_dec`` like the
main one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sagsae.autoencoders.gate import GatedAutoencoder
from sagsae.training.step import Batch, Step, Terms


class FreeStep(Step):
    """As `Step`.

    Args:
        sae: The autoencoder; its ``unit_rows`` says whether the rows keep their norm.
        batch_size: B; every batch has exactly this many rows.
        dtype: Operands and results of the matrix products.
        trained: Whether the auxiliary term trains the decoder.
    """

    def __init__(
        self, sae: GatedAutoencoder, batch_size: int, dtype: torch.dtype, *, trained: bool
    ):
        self.trained = trained and sae.auxiliary
        self.norms = sae.params["W_dec"].norm(dim=1)
        super().__init__(sae, batch_size, dtype)

    def _weights(self, penalty: Tensor) -> Tensor:
        return penalty if self.sae.unit_rows else penalty * self.norms

    def _residuals(self, centred: Tensor) -> tuple[list[Tensor], Tensor]:
        squares, direct = super()._residuals(centred)
        if self.trained:
            direct = direct + self.output_grads[1].to(self.master).sum(0)
        return squares, direct

    def _after_encoder(self, batch: Batch) -> Terms:
        rows = self.params["W_dec"]
        torch.linalg.vector_norm(rows, dim=1, out=self.norms)
        terms = super()._after_encoder(batch)
        if self.trained:
            self.grads["W_dec"] += (self.codes[1].T @ self.output_grads[1]).to(self.master)
        if not self.sae.unit_rows:
            tiny = torch.finfo(self.master).tiny
            pull = batch.lam / self.batch_size * self.penalties / self.norms.clamp_min(tiny)
            self.grads["W_dec"].addcmul_(pull[:, None], rows)
        return terms
