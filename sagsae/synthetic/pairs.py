"""Pairs of opposite features: each pair has a positive and a negative pole, active now and then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PairSample:
    """Rows and the active pairs in them, one entry an active pair.

    Attributes:
        x: [rows, d] float32 activations.
        row, pair: [entries] int64, which pair is active where.
        size: [entries, 2] float32, magnitudes of the positive and the negative pole; 0 where the
            pole is not active.
        pairs: Number of pairs n.
    """

    x: Tensor
    row: Tensor
    pair: Tensor
    size: Tensor
    pairs: int

    def active(self) -> Tensor:
        """[rows, n, 2] bool, whether each pole is active."""
        found = torch.zeros(len(self.x), self.pairs, 2, dtype=torch.bool)
        found[self.row, self.pair] = self.size > 0
        return found


@dataclass(frozen=True, kw_only=True)
class PairSource:
    """Sums of active poles, plus noise. Pairs are active independently of each other.

    Attributes:
        poles: [n, 2, d] float32, unit directions of each pair's positive and negative pole.
        probability: Of each pole to be active, q.
        correlation: rho in [-1, 0]: both poles of a pair are active with probability
            ``q^2 (1 + rho)``. -1: never together; 0: independently.
        low, high: Magnitudes are uniform between these.
        negative_scale: Multiplies the magnitudes of negative poles (alpha).
        noise: Standard deviation of the Gaussian noise on every coordinate.
    """

    poles: Tensor
    probability: float
    correlation: float = -1.0
    low: float = 0.5
    high: float = 1.5
    negative_scale: float = 1.0
    noise: float = 0.0

    @property
    def d(self) -> int:
        return self.poles.shape[2]

    @property
    def both(self) -> float:
        """Probability that both poles of a pair are active."""
        return self.probability**2 * (1 + self.correlation)

    @property
    def any(self) -> float:
        """Probability that a pair is active, with one pole or both."""
        return 2 * self.probability - self.both

    @property
    def active_pairs(self) -> float:
        """Expected number of active pairs a row: the L0 of a code that names each once."""
        return len(self.poles) * self.any

    def draw(self, rows: int, rng: np.random.Generator) -> PairSample:
        """Independent rows."""
        n = len(self.poles)
        places = _successes(rows * n, self.any, rng)
        both = rng.random(len(places)) < self.both / self.any
        positive = rng.random(len(places)) < 0.5
        size = rng.uniform(self.low, self.high, (len(places), 2))
        size[:, 1] *= self.negative_scale
        size *= np.stack([positive | both, ~positive | both], axis=1)
        x = torch.zeros(rows, self.d)
        if self.noise:
            x = torch.from_numpy(rng.standard_normal((rows, self.d), np.float32) * self.noise)
        row, pair = (torch.from_numpy(part) for part in np.divmod(places, n))
        sizes = torch.from_numpy(size.astype(np.float32))
        x.index_add_(0, row, torch.einsum("es,esd->ed", sizes, self.poles[pair]))
        return PairSample(x=x, row=row, pair=pair, size=sizes, pairs=n)


def antipodal(directions: Tensor) -> Tensor:
    """[n, 2, d] poles of pairs along [n, d] directions: each and its opposite."""
    return torch.stack([directions, -directions], dim=1)


def at_cosine(directions: Tensor, aside: Tensor, cosine: float) -> Tensor:
    """[n, 2, d] poles with a given cosine between the two of a pair.

    Args:
        directions: [n, d] unit; the positive poles.
        aside: [n, d] towards which the negative poles are turned; not parallel to ``directions``.
        cosine: Of the two poles; -1 for antipodal ones.
    """
    across = aside - (aside * directions).sum(1, keepdim=True) * directions
    across /= across.norm(dim=1, keepdim=True)
    negative = cosine * directions + (1 - cosine**2) ** 0.5 * across
    return torch.stack([directions, negative], dim=1)


def _successes(trials: int, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Indices of the successes among Bernoulli trials, by the gaps between them: [k] int64."""
    gaps = int(trials * probability + 6 * (trials * probability) ** 0.5 + 16)
    found = np.cumsum(rng.geometric(probability, gaps)) - 1
    while found[-1] < trials:
        more = np.cumsum(rng.geometric(probability, gaps)) + found[-1]
        found = np.concatenate([found, more])
    return found[: np.searchsorted(found, trials)]
