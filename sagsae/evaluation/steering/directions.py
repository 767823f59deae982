"""Directions to steer along: signed latents, opposite pairs of latents, and random ones.

What counts as strong, and which pair is the best opposite one, is this project's choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sagsae.evaluation.calibration import Firings
from sagsae.evaluation.metrics import top

# Share of the live latents, those that contribute most, among which opposite pairs are sought.
COMPETING = 0.5

# Rows of the decoder whose cosines with all others are computed together.
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Arms:
    """Directions for positive and for negative sizes: two unit vectors each.

    Attributes:
        plus: [n, d] float32, what a positive size adds.
        minus: [n, d] float32, what a negative size adds, by its amount.
    """

    plus: Tensor
    minus: Tensor

    @classmethod
    def signed(cls, rows: Tensor) -> Arms:
        """One direction [n, d] in both senses; rows are brought to unit norm."""
        plus = unit(rows)
        return cls(plus, -plus)

    @classmethod
    def joined(cls, *parts: Arms) -> Arms:
        """The arms of all parts, one after the other."""
        return cls(torch.cat([one.plus for one in parts]), torch.cat([one.minus for one in parts]))

    def __len__(self) -> int:
        return len(self.plus)


def unit(rows: Tensor) -> Tensor:
    """Rows [n, d] at unit norm, float32."""
    rows = rows.detach().float()
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / norms


def strongest_two_sided(firings: Firings, k: int) -> Tensor:
    """Up to k latents that fire with both signs, those that contribute most first.

    Args:
        firings: sums over the held-out tokens. The contribution of a latent is its ``energy``.

    Returns:
        [<= k] int64 numbers of latents.
    """
    return top(firings.energy.sum(0), (firings.count > 0).all(0), 1.0)[:k]


def opposite_pairs(decoder: Tensor, firings: Firings, k: int) -> tuple[Tensor, Tensor]:
    """Up to k pairs of latents whose decoder rows are most opposed.

    The stronger half of the live latents by contribution takes part, see `COMPETING`. The pair with
    the most negative cosine comes first; then that among the latents which are left, and so on. No
    pair has a cosine of 0 or more.

    Args:
        decoder: [H, d].
        firings: sums over the held-out tokens.

    Returns:
        [<= k, 2] int64 numbers of latents, of each pair the one that contributes more first, and
        [<= k] float32 cosines.
    """
    ranked = top(firings.energy.sum(0), firings.count.sum(0) > 0, COMPETING).to(decoder.device)
    rows, free = unit(decoder[ranked]), torch.ones(len(ranked), dtype=torch.bool)
    pairs: list[list[int]] = []
    cosines: list[float] = []
    while len(pairs) < k and int(free.sum()) > 1:
        cosine, pair = _most_opposed(rows, free.to(rows.device))
        if cosine >= 0:
            break
        pairs.append(sorted(pair))
        cosines.append(cosine)
        free[pair] = False
    places = torch.tensor(pairs, dtype=torch.int64).view(-1, 2)
    return ranked.cpu()[places], torch.tensor(cosines)


def _most_opposed(rows: Tensor, free: Tensor) -> tuple[float, list[int]]:
    """The most negative cosine between two free rows, and which they are."""
    places = free.nonzero().flatten()
    chosen = rows[places]
    best, pair = float("inf"), [0, 0]
    for start in range(0, len(chosen), ROWS_AT_ONCE):
        cosines = chosen[start : start + ROWS_AT_ONCE] @ chosen.T
        least, other = cosines.min(1)
        row = int(least.argmin())
        if float(least[row]) < best:
            best, pair = float(least[row]), [start + row, int(other[row])]
    return best, [int(places[i]) for i in pair]


def nearest(rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """The row that points most along each row, and the row that points most against it.

    Args:
        rows: [n, d].
        others: [m, d], m > 0.

    Returns:
        [n, 2] int64 numbers of the others and [n, 2] float32 cosines, the largest cosine first.
    """
    there = unit(others)
    numbers, cosines = [], []
    for part in unit(rows).to(there.device).split(ROWS_AT_ONCE):
        found = part @ there.T
        ends = [found.max(1), found.min(1)]
        cosines.append(torch.stack([end.values for end in ends], 1))
        numbers.append(torch.stack([end.indices for end in ends], 1))
    return torch.cat(numbers).cpu(), torch.cat(cosines).cpu()


def random_directions(n: int, d: int, seed: int) -> Tensor:
    """[n, d] float32 unit vectors, uniform on the sphere, the same on every device."""
    return unit(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)))
