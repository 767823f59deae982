"""Protocol C: which latent serves which pole of a pair, and which pairs one latent serves alone.

Definitions (this project's own; the paper names the rate). A latent i has two *sides*: (i, +) with
direction ``W_dec[i]`` and (i, -) with direction ``-W_dec[i]``. A side *answers* a pole if it fires,
z > 0 or z < 0, on at least half of the rows in which the pole is active. A pole is matched by the
side, among those that answer it, whose direction has the largest cosine with the pole's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Share of a pole's rows on which a side must fire to answer it.
ANSWERS = 0.5


@dataclass(frozen=True, kw_only=True)
class Matches:
    """The side that matches each pole of n pairs; column 0 positive poles, column 1 negative.

    Attributes:
        latent: [n, 2] int64, index of the latent; -1 where no side answers the pole.
        negative: [n, 2] bool, whether it is the latent's negative side.
        cosine: [n, 2] float64, between the side's direction and the pole's; -1 where none answers.
    """

    latent: Tensor
    negative: Tensor
    cosine: Tensor

    def found(self, tau: float) -> Tensor:
        """[n, 2] bool, poles matched with a cosine of at least ``tau``."""
        return (self.latent >= 0) & (self.cosine >= tau)

    def consolidated(self, tau: float) -> Tensor:
        """[n] bool, pairs whose two poles are found on the two sides of one latent."""
        one = self.latent[:, 0] == self.latent[:, 1]
        return self.found(tau).all(1) & one & (self.negative[:, 0] != self.negative[:, 1])

    def separate(self, tau: float) -> Tensor:
        """[n] bool, pairs whose two poles are found by two latents."""
        return self.found(tau).all(1) & (self.latent[:, 0] != self.latent[:, 1])

    def slopes(self, slopes: Tensor) -> Tensor:
        """[n, 2] float64, calibration slope of the side that matches each pole, NaN for none.

        Args:
            slopes: [2, H] of the sides of all latents, see `sagsae.evaluation.calibration`.
        """
        found = slopes[self.negative.long(), self.latent.clamp_min(0)]
        return found.masked_fill(self.latent < 0, torch.nan)


def match_poles(W_dec: Tensor, z: Tensor, poles: Tensor, active: Tensor) -> Matches:
    """Match each pole with a side; the lower latent wins a tie.

    Args:
        W_dec: [H, d] unit rows.
        z: [T, H] codes.
        poles: [n, 2, d] unit directions.
        active: [T, n, 2] bool, where each pole is active.
    """
    n = len(poles)
    fired = torch.stack([z > 0, z < 0], dim=2).float().flatten(1)
    on = active.flatten(1).float()
    rows = on.sum(0)[:, None]
    answers = (rows > 0) & (on.T @ fired >= ANSWERS * rows)
    cosine = (poles.double().flatten(0, 1) @ W_dec.double().T)[:, :, None]
    cosine = torch.cat([cosine, -cosine], dim=2).flatten(1)
    best, side = cosine.masked_fill(~answers, -torch.inf).max(dim=1)
    none = best.isneginf()
    return Matches(
        latent=torch.where(none, -1, side // 2).view(n, 2),
        negative=((side % 2 == 1) & ~none).view(n, 2),
        cosine=best.masked_fill(none, -1.0).view(n, 2),
    )
