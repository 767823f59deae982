"""Comparing two sweeps: their overlap, strict dominance, matched L0, dead latents.

Nothing is ever read outside the L0 range that both sweeps reach: where there is no answer, the
result holds None and a reason in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sagsae.comparison.dead_latents import DeadReduction, dead_reduction
from sagsae.comparison.ranking import read_at
from sagsae.comparison.sweeps import Estimate, Frontier, Gap, Sweep

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """L0 range that both sweeps have points on, ends included; lo and hi are None where there is
    none."""

    lo: float | None
    hi: float | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Dominance:
    """Candidate minus baseline over the overlap; every number is None where there is no overlap.

    The last four are of a bootstrap over the seeds; with one seed they are None. ``p_dominance`` is
    the share of the draws in which dominance holds. The errors are standard deviations over the
    draws that have an overlap; with n seeds they fall short by about sqrt((n - 1) / n).
    """

    dominates: bool | None = None
    """The gap is above zero at every L0 of the overlap. None, with a reason, where the overlap is
    empty or a single L0."""
    min_gap: float | None = None
    min_gap_l0: float | None = None
    """Where the smallest gap is; the lowest such L0."""
    mean_gap: float | None = None
    """Integral of the gap in log L0 over the overlap, divided by its length."""
    max_gap: float | None = None
    reason: str
    p_dominance: float | None = None
    min_gap_se: float | None = None
    mean_gap_se: float | None = None
    p_reason: str = "no overlap"


@dataclass(frozen=True, kw_only=True)
class Matched:
    """One metric of both sweeps at the same L0, interpolated; None with a reason elsewhere."""

    l0: float
    candidate: Estimate | None
    baseline: Estimate | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that two sweeps say of each other; made by `compare`."""

    candidate: Sweep
    baseline: Sweep
    overlap: Overlap
    dominance: Dominance
    matched: tuple[Matched, ...]
    """One per L0 that was asked for."""
    dead_reduction: DeadReduction


def compare(
    candidate: Sweep | pd.DataFrame,
    baseline: Sweep | pd.DataFrame,
    metric: str = "r2",
    *,
    matched_l0: Sequence[float] = (),
    draws: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare two sweeps at equal L0, and their dead latents at equal lambda.

    Args:
        candidate: A sweep, or its rows of `sagsae.results`.
        baseline: The same, of what the candidate is compared with.
        metric: Higher is better; a column of `sagsae.results`.
        matched_l0: Where both sweeps' values of the metric are wanted, in latents per token.
        draws: Bootstrap draws over seeds.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: rows that are not one sweep, a metric that the sweeps do not have or that is
            undefined for one of their cells.
    """
    sides = [
        side if isinstance(side, Sweep) else Sweep.from_rows(side) for side in (candidate, baseline)
    ]
    for side in sides:
        if absent := {metric, "dead_fraction"} - side.cells[0].values.keys():
            raise ValueError(f"{side.label}: there is no {' and no '.join(sorted(absent))}")
    a, b = sides
    return Comparison(
        candidate=a,
        baseline=b,
        overlap=overlap(a, b),
        dominance=dominance(a, b, metric, draws=draws, seed=seed),
        matched=tuple(matched(a, b, metric, l0) for l0 in matched_l0),
        dead_reduction=dead_reduction(a, b),
    )


def overlap(candidate: Sweep, baseline: Sweep) -> Overlap:
    """Intersection of the two sweeps' L0 ranges (zero L0 excluded).

    It may be a single L0, when the ranges touch or a sweep has one point.
    """
    ends = []
    for sweep in (candidate, baseline):
        l0 = sweep.levels.l0
        if not l0.size:
            reason = f"{sweep.label}: no intact point has L0 above zero"
            return Overlap(lo=None, hi=None, reason=reason)
        ends.append((float(l0[0]), float(l0[-1])))
    (a_lo, a_hi), (b_lo, b_hi) = ends
    lo, hi = max(a_lo, b_lo), min(a_hi, b_hi)
    if lo > hi:
        reason = (
            f"the L0 ranges do not meet: {candidate.label} spans {a_lo:.3g} to {a_hi:.3g}, "
            f"{baseline.label} {b_lo:.3g} to {b_hi:.3g}"
        )
        return Overlap(lo=None, hi=None, reason=reason)
    return Overlap(lo=lo, hi=hi)


def dominance(
    candidate: Sweep, baseline: Sweep, metric: str = "r2", *, draws: int = 1000, seed: int = 0
) -> Dominance:
    """Whether the candidate's metric is strictly higher at every L0 of the overlap.

    Args:
        draws: Bootstrap draws over seeds. A draw resamples the seeds of each sweep with
            replacement, independently for the two sweeps; a seed's cells stay together over the
            lambdas. Each draw has its own points and so its own overlap; a draw whose overlap is
            empty or a single L0 counts against dominance.
        seed: Seed of the bootstrap.
    """
    gap = Gap.between(candidate.frontier(metric), baseline.frontier(metric))
    if gap is None:
        return Dominance(reason=overlap(candidate, baseline).reason)
    single = f"the L0 ranges share a single L0, {gap.l0[0]:.3g}: dominance needs a range"
    return Dominance(
        dominates=bool(gap.value.min() > 0) if gap.is_range else None,
        reason="" if gap.is_range else single,
        min_gap=float(gap.value.min()),
        min_gap_l0=float(gap.l0[gap.value.argmin()]),
        mean_gap=gap.mean,
        max_gap=float(gap.value.max()),
        **_resampled(candidate, baseline, metric, draws, seed),
    )


def _resampled(
    candidate: Sweep, baseline: Sweep, metric: str, draws: int, seed: int
) -> dict[str, Any]:
    """The fields of `Dominance` that are of the bootstrap."""
    rng, frontiers = np.random.default_rng(seed), []
    for sweep in (candidate, baseline):
        table = sweep.resampled(metric, draws, rng)
        if isinstance(table, str):
            return {"p_reason": table}
        frontiers.append([Frontier.through(x, y) for x, y in zip(*table, strict=True)])
    found = [Gap.between(a, b) for a, b in zip(*frontiers, strict=True)]
    gaps = [gap for gap in found if gap is not None]
    if not gaps:
        return {"p_dominance": 0.0, "p_reason": "no draw has an overlap"}
    won = [gap.is_range and gap.value.min() > 0 for gap in gaps]
    return {
        "p_dominance": sum(won) / draws,
        "min_gap_se": float(np.std([gap.value.min() for gap in gaps])),
        "mean_gap_se": float(np.std([gap.mean for gap in gaps])),
        "p_reason": "",
    }


def matched(candidate: Sweep, baseline: Sweep, metric: str, l0: float) -> Matched:
    """One metric of both at one L0, interpolated between sweep points; see ``Frontier.reaches``.

    Two points next to this L0, as of one k, are enough: their ranges need not meet.
    """
    undefined = candidate.undefined(metric) + baseline.undefined(metric)
    if not (candidate.levels.reaches(l0) and baseline.levels.reaches(l0)):
        shared = overlap(candidate, baseline)
        reason = shared.reason
        if not reason:
            reason = f"L0 = {l0:g} is outside the overlap {shared.lo:.3g} to {shared.hi:.3g}"
    elif undefined:
        reason = f"{metric} is undefined for {undefined[0]}"
    else:
        a, b = (read_at(sweep, metric, l0).estimate for sweep in (candidate, baseline))
        return Matched(l0=l0, candidate=a, baseline=b)
    return Matched(l0=l0, candidate=None, baseline=None, reason=reason)
