"""Contrasts: two sweeps at equal lambda and seed, where their initial weights and batches agree.

What a part of a variant does shows best when all else is the same: tied against free radii, with
the auxiliary loss against without. Equal lambda is not equal L0; ``sagsae.comparison.dominance``
compares at equal L0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sagsae.comparison.sweeps import Estimate, Sweep


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One metric, candidate minus baseline, over the (lambda, seed) pairs that both have intact."""

    pairs: int
    mean: float | None = None
    se: float | None = None
    """Standard error over seeds, each seed's differences averaged over lambdas first."""
    mean_abs: float | None = None
    max_abs: float | None = None
    candidate: float | None = None
    baseline: float | None = None
    """Means of each side over the same pairs."""
    reason: str = ""


def shared_runs(candidate: Sweep, baseline: Sweep) -> list[tuple[float, int]]:
    """(lambda, seed) that both sweeps have, sorted; none where one is swept over lambda and the
    other over k."""
    if candidate.knob != baseline.knob:
        return []
    runs = [{(cell.lam, cell.seed) for cell in sweep.cells} for sweep in (candidate, baseline)]
    return sorted(runs[0] & runs[1])


def contrast(candidate: Sweep, baseline: Sweep, metric: str) -> Contrast:
    """Differences of one metric (``l0`` included) at equal lambda and seed.

    Pairs of which a side collapsed are left out. Where the metric is undefined for a cell of
    another there is a reason instead of numbers.
    """
    shared = shared_runs(candidate, baseline)
    if not shared:
        return Contrast(pairs=0, reason="no (lambda, seed) in common")
    fallen = {(cell.lam, cell.seed) for cell in candidate.cells + baseline.cells if cell.collapsed}
    shared = [run for run in shared if run not in fallen]
    if not shared:
        return Contrast(pairs=0, reason="a side collapsed at every (lambda, seed) in common")
    sides = []
    for sweep in (candidate, baseline):
        cells = {(cell.lam, cell.seed): cell for cell in sweep.cells}
        values = [{**cells[run].values, "l0": cells[run].l0}[metric] for run in shared]
        if None in values:
            name = cells[shared[values.index(None)]].name
            return Contrast(pairs=0, reason=f"{metric} is undefined for {name}")
        sides.append(np.array(values, np.float64))
    gap = sides[0] - sides[1]
    seeds = np.array([seed for _, seed in shared])
    by_seed = Estimate.of(float(gap[seeds == seed].mean()) for seed in np.unique(seeds))
    return Contrast(
        pairs=len(shared),
        mean=float(gap.mean()),
        se=by_seed.se,
        mean_abs=float(np.abs(gap).mean()),
        max_abs=float(np.abs(gap).max()),
        candidate=float(sides[0].mean()),
        baseline=float(sides[1].mean()),
    )
