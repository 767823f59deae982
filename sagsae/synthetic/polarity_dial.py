"""Protocol A: how truly a code measures the size of a signed feature, on either side."""

from __future__ import annotations

import torch
from torch import Tensor

from sagsae.synthetic.consolidation import Matches


def pole_slopes(slopes: Tensor, matches: Matches) -> Tensor:
    """[n, 2] float64, calibration slope of the side that matches each pole; NaN where none does.

    Args:
        slopes: [2, H] of the positive and the negative sides, see `sagsae.evaluation.calibration`.
        matches: Of the poles of n axes.
    """
    found = slopes[matches.negative.long(), matches.latent.clamp_min(0)]
    return found.masked_fill(matches.latent < 0, torch.nan)
