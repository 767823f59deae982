"""How many times fewer latents are dead in one sweep than in another, by lambda and by L0.

Both are geometric means of dead(baseline) / dead(candidate), each share floored at half a latent
of its own width. By lambda, both sides have the same weight of the penalty; by L0, the same
sparsity, which is what is asked where two variants reach one L0 at different lambdas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sagsae.comparison.sweeps import Floats, Frontier, Sweep

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


@dataclass(frozen=True, kw_only=True)
class ReductionErrors:
    """Standard errors of log10 of both reductions; None with one seed, or where no draw has one."""

    by_lambda: float | None = None
    by_l0: float | None = None


def reduction_errors(candidate: Sweep, baseline: Sweep, *, draws: int = 1000) -> ReductionErrors:
    """Bootstrap over seeds of both reductions, as `dominance.bootstrap` is of the gaps.

    A draw resamples the seeds of each sweep; a seed's cells stay together. Each draw has its own
    points, so also its own overlap and its own floored points. Draws without a reduction are left
    out.

    Args:
        candidate: The one side.
        baseline: The other.
        draws: Bootstrap draws.
    """
    rng = np.random.default_rng(0)
    sides = (candidate, baseline)
    resampled = [sweep.resampled(DEAD, draws, rng) for sweep in sides]
    tables = [table for table in resampled if not isinstance(table, str)]
    if len(tables) < 2:
        return ReductionErrors()
    shared = sorted(candidate.by_lambda.keys() & baseline.by_lambda.keys())
    rows = [[list(sweep.by_lambda).index(lam) for lam in shared] for sweep in sides]
    by_lambda, by_l0 = [], []
    for draw in range(draws):
        drawn = [table.of_lambda[at, draw] for table, at in zip(tables, rows, strict=True)]
        by_lambda.append(_over(np.array(drawn), sides, "").factor)
        a, b = (Frontier.through(one.l0[:, draw], one.value[:, draw]) for one in tables)
        shares = _at_equal_l0(a, b, LEVELS)
        by_l0.append(None if shares is None else _over(shares, sides, "").factor)
    return ReductionErrors(by_lambda=_spread(by_lambda), by_l0=_spread(by_l0))


def _spread(factors: Sequence[float | None]) -> float | None:
    """Standard deviation of log10 of the reductions that there are."""
    known = [factor for factor in factors if factor is not None]
    return float(np.std(np.log10(known))) if known else None
