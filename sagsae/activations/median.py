"""The geometric median of activations: where the decoder's bias may start (arXiv 2406.04093)."""

from __future__ import annotations

from torch import Tensor

STEPS, TOLERANCE = 100, 1e-5


def geometric_median(points: Tensor) -> Tensor:
    """The point whose distances to some points [n, d] have the least sum, [d].

    By Weiszfeld's iteration from their mean, until it moves less than 1e-5 of their spread.
    """
    found = points.mean(0)
    spread = float((points - found).norm(dim=1).mean())
    for _ in range(STEPS):
        distances = (points - found).norm(dim=1).clamp_min(spread * 1e-9 + 1e-30)
        weights = 1 / distances
        after = (weights / weights.sum()) @ points
        moved = float((after - found).norm())
        found = after
        if moved <= TOLERANCE * spread:
            break
    return found
