"""Comparing two sweeps: their overlap, strict dominance, matched L0, dead latents.

Nothing is ever read outside the L0 range that both sweeps reach: where there is no answer, the
result holds None and a reason in words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sagsae.sweeps import Floats, Frontier, Sweep


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """L0 range that both sweeps reach, ends included; lo and hi are None where there is none."""

    lo: float | None
    hi: float | None
    reason: str = ""

    def contains(self, l0: float) -> bool:
        return self.lo is not None and self.hi is not None and self.lo <= l0 <= self.hi


@dataclass(frozen=True, kw_only=True)
class Dominance:
    """Candidate minus baseline over the overlap; every field is None where there is no overlap."""

    dominates: bool | None
    """The gap is above zero at every L0 of the overlap."""
    min_gap: float | None
    min_gap_l0: float | None
    """Where the smallest gap is; the lowest such L0."""
    mean_gap: float | None
    """Integral of the gap in log L0 over the overlap, divided by its length."""
    probability: float | None
    """Share of bootstrap draws over seeds in which dominance holds."""
    probability_reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Matched:
    """One metric of both sweeps at the same L0, interpolated; None with a reason elsewhere."""

    l0: float
    candidate: float | None
    baseline: float | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class DeadReduction:
    """How many times fewer latents are dead in the candidate than in the baseline."""

    factor: float | None
    """Geometric mean over the shared lambdas of dead(baseline) / dead(candidate)."""
    points: int
    """Points that went in: two a shared lambda."""
    floored: int
    """Points below half a latent, raised to 0.5 / H of their own width."""
    reason: str = ""


def overlap(candidate: Sweep, baseline: Sweep) -> Overlap:
    """Intersection of the two sweeps' L0 ranges (zero L0 excluded).

    It may be a single L0, when the ranges touch or a sweep has one point.
    """
    ends = []
    for sweep in (candidate, baseline):
        l0 = np.array([point.l0.mean for point in sweep.points])
        l0 = Frontier.through(l0, l0).l0
        if not l0.size:
            reason = f"{sweep.label}: no point has L0 above zero"
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

    The gap of two piecewise linear curves is piecewise linear, so it is checked at the breakpoints
    of both inside the overlap and at its two ends.

    Args:
        draws: Bootstrap draws over seeds; see ``probability_of_dominance``.
        seed: Seed of the bootstrap.
    """
    gap = _gap(candidate.frontier(metric), baseline.frontier(metric))
    if gap is None:
        why = "no overlap"
        return Dominance(
            dominates=None,
            min_gap=None,
            min_gap_l0=None,
            mean_gap=None,
            probability=None,
            probability_reason=why,
        )
    l0, value = gap
    log_l0 = np.log(l0)
    length = log_l0[-1] - log_l0[0]
    mean = np.trapezoid(value, log_l0) / length if length > 0 else value.mean()
    probability, reason = probability_of_dominance(
        candidate, baseline, metric, draws=draws, seed=seed
    )
    return Dominance(
        dominates=bool(value.min() > 0),
        min_gap=float(value.min()),
        min_gap_l0=float(l0[value.argmin()]),
        mean_gap=float(mean),
        probability=probability,
        probability_reason=reason,
    )


def _gap(a: Frontier, b: Frontier) -> tuple[Floats, Floats] | None:
    """Breakpoints (L0) of both inside the overlap, ends included, and a minus b there."""
    if not a.l0.size or not b.l0.size:
        return None
    if max(a.l0[0], b.l0[0]) > min(a.l0[-1], b.l0[-1]):
        return None
    lo, hi = max(a.log_l0[0], b.log_l0[0]), min(a.log_l0[-1], b.log_l0[-1])
    log_l0, first = np.unique(np.concatenate([a.log_l0, b.log_l0]), return_index=True)
    l0 = np.concatenate([a.l0, b.l0])[first]
    inside = (log_l0 >= lo) & (log_l0 <= hi)
    x = log_l0[inside]
    return l0[inside], np.interp(x, a.log_l0, a.value) - np.interp(x, b.log_l0, b.value)


def probability_of_dominance(
    candidate: Sweep, baseline: Sweep, metric: str, *, draws: int = 1000, seed: int = 0
) -> tuple[float | None, str]:
    """Bootstrap over seeds: the share of draws in which dominance holds, or None and a reason.

    A draw resamples the seeds of each sweep with replacement, independently for the two sweeps; a
    seed's cells stay together over the lambdas. Each draw has its own points and so its own
    overlap; a draw without overlap counts against dominance.
    """
    tables = []
    for sweep in (candidate, baseline):
        seeds = {tuple(cell.seed for cell in cells) for cells in sweep.by_lambda.values()}
        if sweep.seeds < 2:
            return None, f"{sweep.label} has one seed"
        if len(seeds) > 1:
            return None, f"{sweep.label}: not every lambda has the same seeds"
        rows = sweep.by_lambda.values()
        l0 = np.array([[cell.l0 for cell in row] for row in rows])
        value = np.array([[cell.values[metric] for cell in row] for row in rows], dtype=np.float64)
        tables.append((l0, value))
    rng = np.random.default_rng(seed)
    frontiers = []
    for l0, value in tables:
        chosen = rng.integers(l0.shape[1], size=(draws, l0.shape[1]))
        resampled = zip(l0[:, chosen].mean(axis=2).T, value[:, chosen].mean(axis=2).T, strict=True)
        frontiers.append([Frontier.through(x, y) for x, y in resampled])
    gaps = (_gap(a, b) for a, b in zip(*frontiers, strict=True))
    return sum(gap is not None and gap[1].min() > 0 for gap in gaps) / draws, ""


def matched(candidate: Sweep, baseline: Sweep, metric: str, l0: float) -> Matched:
    """One metric of both at one L0, interpolated between sweep points."""
    shared = overlap(candidate, baseline)
    reason = shared.reason
    if not reason and not shared.contains(l0):
        reason = f"L0 = {l0:g} is outside the overlap {shared.lo:.3g} to {shared.hi:.3g}"
    undefined = candidate.undefined(metric) + baseline.undefined(metric)
    if not reason and undefined:
        reason = f"{metric} is undefined for {undefined[0]}"
    if reason:
        return Matched(l0=l0, candidate=None, baseline=None, reason=reason)
    values = [sweep.frontier(metric).at(l0) for sweep in (candidate, baseline)]
    return Matched(l0=l0, candidate=values[0], baseline=values[1])


def dead_reduction(
    candidate: Sweep, baseline: Sweep, metric: str = "dead_fraction"
) -> DeadReduction:
    """Geometric mean of dead(baseline) / dead(candidate), paired by lambda, floored at 0.5 / H.

    Where neither has a dead latent the ratio is that of the floors, which says nothing about the
    variants; ``reason`` then says so.
    """
    dead = [{p.lam: p.values[metric] for p in sweep.points} for sweep in (candidate, baseline)]
    shared = sorted(dead[0].keys() & dead[1].keys())
    if not shared:
        return DeadReduction(factor=None, points=0, floored=0, reason="no lambda in common")
    logs, floored = [], 0
    for sweep, values in zip((candidate, baseline), dead, strict=True):
        floor = 0.5 / sweep.width
        known = [estimate.mean for lam in shared if (estimate := values[lam]) is not None]
        if len(known) < len(shared):
            reason = f"{metric} is undefined for {sweep.undefined(metric)[0]}"
            return DeadReduction(factor=None, points=0, floored=0, reason=reason)
        floored += sum(value < floor for value in known)
        logs.append(np.log(np.maximum(known, floor)))
    reason = "no dead latents on either side" if floored == 2 * len(shared) else ""
    return DeadReduction(
        factor=float(np.exp((logs[1] - logs[0]).mean())),
        points=2 * len(shared),
        floored=floored,
        reason=reason,
    )
