"""How true to size a latent's activations are, side by side (the paper's Figure 11, our measure).

Calibration slope of latent i on one sign: the least-squares slope through zero of the residual
coefficient ``v_i . (x - x_hat + z_i v_i)`` on ``z_i``, over the tokens where it fires with that
sign. ``v_i`` is its decoder row, of unit norm, so this is

    1 + sum z_i (v_i . (x - x_hat)) / sum z_i^2

1 means no shrinkage; above 1 the latent fires too weakly. The paper's own definition was not at
hand.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Firings:
    """Sums over the tokens on which a latent fires, by sign: [2, H], positive before negative.

    On the CPU, wherever the code was: sums of few entries, in one order. They add.

    Attributes:
        count: int64, number of these tokens.
        energy: float64, sum of z^2.
        cross: float64, sum of z times the coefficient of the error, ``v . (x - x_hat)``.
    """

    count: Tensor
    energy: Tensor
    cross: Tensor

    def __add__(self, other: Firings) -> Firings:
        names = (field.name for field in fields(self))
        return Firings(*(getattr(self, name) + getattr(other, name) for name in names))

    @classmethod
    def of_rows(cls, z: Tensor, error: Tensor, decoder: Tensor) -> tuple[Firings, Tensor]:
        """Sums over one batch. The error's coefficients are computed where the code is not zero.

        Args:
            z: [B, H] code.
            error: [B, d] of ``x - x_hat``, in the units of the code.
            decoder: [H, d] unit rows.

        Returns:
            The sums, and [B] int64 on the device of the code: latents that fire on each token.
        """
        z, decoder = z.to(error.dtype), decoder.to(error.dtype)
        width = z.shape[1]
        tokens, latents = z.nonzero(as_tuple=True)
        values = z[tokens, latents]
        fired = torch.bincount(tokens, minlength=len(z))
        starts = pad(fired.cumsum(0), (1, 0))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            where = torch.sparse_csr_tensor(
                starts, latents, torch.zeros_like(values), z.shape, check_invariants=False
            )
        along = torch.sparse.sampled_addmm(where, error, decoder.T, beta=0.0).values()
        side = (latents + width * (values < 0)).cpu()
        values, along = values.double().cpu(), along.double().cpu()
        sums = cls(
            torch.bincount(side, minlength=2 * width).view(2, width),
            torch.bincount(side, values.square(), 2 * width).view(2, width),
            torch.bincount(side, values * along, 2 * width).view(2, width),
        )
        return sums, fired

    @property
    def slopes(self) -> Tensor:
        """Calibration slopes [2, H]; NaN where a latent never fires with that sign."""
        return 1 + self.cross / self.energy.where(self.count > 0, torch.nan)
