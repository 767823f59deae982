"""Pairs of opposite features: each pair has a positive and a negative pole, active now and then.

Protocol C asks which latent serves which pole of a pair, and which pairs one latent serves alone.

Definitions (this project's own; the paper names the rate). A latent i has two *sides*: (i, +) with
direction ``W_dec[i]`` and (i, -) with direction ``-W_dec[i]``. A side *answers* a pole if it fires,
z > 0 or z < 0, on at least half of the rows in which the pole is active. A pole is matched by the
side, among those that answer it, whose direction has the largest cosine with the pole's.
"""

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
