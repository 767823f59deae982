"""The geometric median of activations: where the decoder's bias may start (arXiv 2406.04093)."""

from __future__ import annotations

import torch
from torch import Tensor

from sagsae.activations.store import Store
from sagsae.activations.stream import iterate

# Rows that it is taken over, as there.
ROWS = 32_768
STEPS, TOLERANCE = 100, 1e-5


def first_rows(store: Store, hookpoint: str, rows: int = ROWS) -> Tensor:
    """The first rows of a store, which are shuffled within its blocks: [n, d] float32."""
    parts, held = [], 0
    for batch in iterate(store, hookpoint, 4096):
        parts.append(batch.float())
        held += len(batch)
        if held >= rows:
            break
    return torch.cat(parts)[:rows]


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
