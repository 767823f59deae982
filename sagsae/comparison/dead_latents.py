"""How many times fewer latents are dead in one sweep than in another, by lambda and by L0.

Both are geometric means of dead(baseline) / dead(candidate), each share floored at half a latent
of its own width. By lambda, both sides have the same weight of the penalty; by L0, the same
sparsity, which is what is asked where two variants reach one L0 at different lambdas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sagsae.comparison.sweeps import Estimate, Floats, Frontier, Sweep

# L0 at which dead fractions are read off: evenly spaced in log L0 over the overlap, with its
# ends.
LEVELS = 9
DEAD = "dead_fraction"


@dataclass(frozen=True, kw_only=True)
class DeadReduction:
    """How many times fewer latents are dead in the candidate than in the baseline."""

    factor: float | None = None
    """Geometric mean of dead(baseline) / dead(candidate) over the shared lambdas, or the levels of
    L0, that are not left out."""
    points: int = 0
    """Points that went in: two per lambda or level."""
    floored: int = 0
    """Points among them below half a latent, raised to 0.5 / H of their own width."""
    left_out: int = 0
    """Lambdas or levels at which both sides are below half a latent: their ratio is that of the
    floors."""
    ceiling: float | None = None
    """The factor if no latent of the candidate were dead: more cannot be seen here. None if the
    baseline has no dead latents either."""
    reason: str


def dead_reduction(candidate: Sweep, baseline: Sweep) -> DeadReduction:
    """Geometric mean of dead(baseline) / dead(candidate), paired by lambda, floored at 0.5 / H.

    A lambda at which both sides are below their floors is left out and counted: its ratio says
    nothing about the variants.
    """
    sides = (candidate, baseline)
    dead = [sweep.means(DEAD) for sweep in sides]
    if candidate.knob != baseline.knob:
        return DeadReduction(reason="one side has lambdas and the other ks: none is in common")
    shared = sorted(dead[0].keys() & dead[1].keys())
    if not shared:
        what = "lambda" if candidate.knob == "lam" else "k"
        return DeadReduction(reason=f"no {what} in common")
    found = []
    for sweep, values in zip(sides, dead, strict=True):
        found.append([estimate.mean for lam in shared if (estimate := values[lam]) is not None])
        if len(found[-1]) < len(shared):
            return DeadReduction(reason=f"{DEAD} is undefined for {sweep.undefined(DEAD)[0]}")
    return _over(np.array(found), sides, "lambdas")


def dead_reduction_at_equal_l0(
    candidate: Sweep, baseline: Sweep, *, levels: int = LEVELS
) -> DeadReduction:
    """The reduction read off both frontiers at ``levels`` L0 of the overlap, in place of lambdas.

    The levels are evenly spaced in log L0, ends included; an overlap of a single L0 is one level.
    A level at which both sides are below their floors is left out and counted.
    """
    sides = (candidate, baseline)
    for sweep in sides:
        if undefined := sweep.undefined(DEAD):
            return DeadReduction(reason=f"{DEAD} is undefined for {undefined[0]}")
    a, b = (sweep.frontier(DEAD) for sweep in sides)
    shares = _at_equal_l0(a, b, levels)
    if shares is None:
        return DeadReduction(reason="the L0 ranges do not meet")
    return _over(shares, sides, "levels of L0")


def _at_equal_l0(a: Frontier, b: Frontier, levels: int) -> Floats | None:
    """Values of two frontiers over their overlap, [2, levels] float64; None where there is none."""
    if not (a.l0.size and b.l0.size):
        return None
    low, high = max(a.log_l0[0], b.log_l0[0]), min(a.log_l0[-1], b.log_l0[-1])
    if low > high:
        return None
    log_l0 = np.linspace(low, high, levels if low < high else 1)
    return np.array([np.interp(log_l0, side.log_l0, side.value) for side in (a, b)])


def _over(shares: Floats, sides: Sequence[Sweep], what: str) -> DeadReduction:
    """The reduction over columns of dead fractions, [2, n] float64, candidate first."""
    floors = np.array([[0.5 / sweep.width] for sweep in sides])
    floored = shares < floors
    kept = ~floored.all(axis=0)
    left_out = int((~kept).sum())
    reason = "no dead latents on either side"
    if not kept.any():
        return DeadReduction(left_out=left_out, reason=reason)
    logs = np.log(np.maximum(shares, floors))
    room = logs[1, ~floored[1]] - np.log(floors[0])
    return DeadReduction(
        factor=float(np.exp((logs[1] - logs[0])[kept].mean())),
        points=2 * int(kept.sum()),
        floored=int(floored[:, kept].sum()),
        left_out=left_out,
        ceiling=float(np.exp(room.mean())) if room.size else None,
        reason=f"{left_out} of {kept.size} {what} left out: {reason}" if left_out else "",
    )


def error_over_seeds(
    reduction: Callable[[Sweep, Sweep], DeadReduction], candidate: Sweep, baseline: Sweep
) -> float | None:
    """Standard error of log10 of a reduction; None for fewer than two seeds that have one.

    Args:
        reduction: `dead_reduction` or `dead_reduction_at_equal_l0`.
        candidate: The one side. A seed of both sides has the reduction of its own cells.
        baseline: The other.
    """
    sides = candidate, baseline
    seeds = set.intersection(*({cell.seed for cell in side.cells} for side in sides))
    found = (reduction(*(side.of_seed(seed) for side in sides)).factor for seed in sorted(seeds))
    known = [math.log10(factor) for factor in found if factor is not None]
    return Estimate.of(known).se if known else None
