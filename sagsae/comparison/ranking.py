"""Ranks of sweeps by one metric at one L0, and how far the spread over seeds lets them move.

Nothing is read where a sweep has no points on both sides of the L0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sagsae.comparison.intervals import half_width
from sagsae.comparison.sweeps import Estimate, Floats, Frontier, Sweep


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One metric of a sweep at one L0."""

    value: float
    """Value of the sweep's frontier, in the unit of the metric."""
    quadratic: float | None
    """Value of the quadratic in log L0 through the three intact points nearest in log L0, in
    place of the frontier; None with fewer."""
    by_seed: Floats
    """Values of the frontier of each seed that counts, [seeds] float64, by seed."""

    @property
    def estimate(self) -> Estimate:
        """The value, and its standard error over seeds; None with fewer than two."""
        se = Estimate.of(self.by_seed).se if self.by_seed.size else None
        return Estimate(mean=self.value, se=se)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Standard deviation over seeds, pooled over several sweeps."""

    sd: float
    sweeps: int
    """How many have several seeds."""
    freedom: int
    """Degrees of freedom: seeds less one, summed over these sweeps."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The place of one value among others; 1 is the highest value."""

    rank: int
    """1 + the number of higher values, so equal values share a rank."""
    best: int | None
    """1 + the number of higher values that are told apart from it. None without its error."""
    worst: int | None
    """n - the number of lower values that are told apart from it. None without its error."""


def read_at(sweep: Sweep, metric: str, l0: float) -> Reading:
    """One metric of a sweep at one L0, and what each seed has there.

    A seed counts if it has intact cells of the two lambdas, or ks, whose points enclose this L0,
    and if its own frontier reaches it. Not every lambda needs the same seeds.

    Args:
        sweep: All its lambdas and seeds.
        metric: A key of the values of its cells.
        l0: In latents per token.

    Raises:
        ValueError: the frontier does not reach this L0, or the metric is undefined for a cell.
    """
    whole, needed = sweep.frontier(metric), _enclosing(sweep, l0)
    found = []
    for seed in sorted({cell.seed for cell in sweep.cells}):
        own = [cell for cell in sweep.cells if cell.seed == seed and not cell.collapsed]
        known = [one for cell in own if (one := cell.values[metric]) is not None]
        frontier = Frontier.through(np.array([cell.l0 for cell in own]), np.array(known))
        if needed <= {cell.lam for cell in own} and frontier.reaches(l0):
            found.append(frontier.at(l0))
    quadratic = quadratic_at(whole.log_l0, whole.value, math.log(l0))
    return Reading(value=whole.at(l0), quadratic=quadratic, by_seed=np.array(found))


def quadratic_at(x: Floats, values: Floats, at: float) -> float | None:
    """The quadratic through the three points [n] nearest to a place; None with fewer points."""
    nearest = np.argsort(abs(x - at), kind="stable")[:3]
    if nearest.size < 3:
        return None
    return float(np.polyfit(x[nearest] - at, values[nearest], 2)[-1])


def _enclosing(sweep: Sweep, l0: float) -> set[float]:
    """The lambdas, or ks, of the points next to an L0 that the frontier reaches: of one point where
    the sweep ends just before it."""
    below = [point.lam for point in sweep.intact if point.l0.mean <= l0]
    above = [point.lam for point in sweep.intact if point.l0.mean >= l0]
    return {*below[-1:], *above[:1]}


def pooled(samples: Sequence[Floats]) -> Spread | None:
    """Standard deviation over seeds of several sweeps together, each about its own mean.

    It is the root of the sum of squared deviations over the sum of (seeds - 1).

    Args:
        samples: The values of each sweep, [seeds] float64. Those of one seed say nothing.

    Returns:
        None where no sweep has several seeds.
    """
    several = [sample for sample in samples if sample.size > 1]
    if not several:
        return None
    squares = sum(float(np.square(sample - sample.mean()).sum()) for sample in several)
    freedom = sum(sample.size - 1 for sample in several)
    return Spread(sd=math.sqrt(squares / freedom), sweeps=len(several), freedom=freedom)


def standings(values: Floats, errors: Floats, freedom: Floats, quadratic: Floats) -> list[Standing]:
    """The rank of each value, and the best and the worst that the errors allow.

    Two values are told apart if the 95 % interval of their difference leaves out zero, by Student's
    t with the degrees of freedom of Welch and Satterthwaite, and if they differ by more than the
    larger of what linear and quadratic readings of each differ by. Without both errors they are
    not.

    Args:
        values: [n] float64, higher is better.
        errors: Standard error of each, [n] float64; NaN where it is not known.
        freedom: Degrees of freedom of each error, [n]; not read where the error is not known.
        quadratic: Of each the quadratic reading, [n] float64; NaN where there is none, and then
            nothing is added.
    """
    gap = values[:, None] - values[None, :]
    known = ~np.isnan(errors)
    pairs = [np.stack(np.broadcast_arrays(x[:, None], x), 2) for x in (errors**2, freedom + 1)]
    least = half_width(*pairs)
    bend = np.nan_to_num(np.abs(values - quadratic))
    least = np.maximum(least, np.maximum(bend[:, None], bend[None, :]))  # NaN stays NaN
    ranks, best = 1 + (gap < 0).sum(axis=1), 1 + (gap < -least).sum(axis=1)
    worst = values.size - (gap > least).sum(axis=1)
    return [
        Standing(
            rank=int(ranks[i]),
            best=int(best[i]) if known[i] else None,
            worst=int(worst[i]) if known[i] else None,
        )
        for i in range(values.size)
    ]
