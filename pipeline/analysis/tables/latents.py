"""Tables of latents: census and calibration of each sweep, its parameters, its slopes in full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import pandas as pd

from pipeline.analysis.knob_columns import without_idle_k
from pipeline.analysis.tables.sweeps import SWEEP, Metrics, with_se
from pipeline.study.cell import Cell, by_sweep
from pipeline.study.looks import nearest_lambda
from pipeline.study.metrics import CellMetrics
from pipeline.study.scope import Scope
from sagsae.sweeps import Estimate

Quantity = Callable[[CellMetrics], float | None]
QUANTITIES: dict[str, Quantity] = {
    "bipolar_fraction": lambda found: found.bipolar_fraction,
    "bipolar_firing_share": lambda found: found.bipolar_firing_share,
    "bipolar_of_all": lambda found: bipolar_of_all(found),
    "minority_share_median": lambda found: _middle(found.census.minority_share_quantiles),
    "top1_bipolar_fraction": lambda found: found.census.top1_bipolar_fraction,
    "top10_bipolar_fraction": lambda found: found.census.top10_bipolar_fraction,
    "top1_minority_share": lambda found: found.census.top1_minority_share,
    "top10_minority_share": lambda found: found.census.top10_minority_share,
    "slope_positive_median": lambda found: found.calibration.positive.median,
    "slope_negative_median": lambda found: found.calibration.negative.median,
}
"""What latents.csv holds of each sweep. Shares are of live latents but for ``bipolar_of_all``."""
COSTS = ("d_model", "parameters", "parameters_per_latent", "break_even_share")
SHARES = {"": "mean", "_se": "se", "_lo": "lo"}
PERCENT = range(0, 101, 2)
"""Where the metrics of a cell keep quantiles."""


def bipolar_of_all(found: CellMetrics) -> float | None:
    """Latents that fire with both signs, as a share of the width."""
    share = found.bipolar_fraction
    return None if share is None else share * (1 - found.dead_fraction)


def _middle(quantiles: Sequence[float]) -> float | None:
    return quantiles[len(quantiles) // 2] if quantiles else None


def latent_table(metrics: Metrics) -> pd.DataFrame:
    """Long: one row per (sweep, quantity).

    ``mean`` is over cells and ``se`` over seeds, each seed averaged over its lambdas first; ``lo``
    and ``hi`` are the extremes over cells. A cell where the quantity is undefined (no live
    latents) is left out and not counted in ``cells``.
    """
    rows = []
    for sweep, cells in by_sweep(metrics).items():
        for name, quantity in QUANTITIES.items():
            found = {cell: quantity(metrics[cell]) for cell in cells}
            rows.append(sweep._asdict() | {"quantity": name} | _spread(found))
    columns = [*SWEEP, "quantity", "mean", "se", "lo", "hi", "cells", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def _spread(found: dict[Cell, float | None]) -> dict[str, Any]:
    known = pd.Series(list(found.values()), [cell.seed for cell in found], float).dropna()
    if known.empty:
        return {"cells": 0, "seeds": 0}
    by_seed = [sum(values) / len(values) for _, values in known.groupby(level=0)]
    return {
        "mean": Estimate.of(known).mean,
        "se": Estimate.of(by_seed).se,
        "lo": known.min(),
        "hi": known.max(),
        "cells": len(known),
        "seeds": len(by_seed),
    }


def parameter_table(metrics: Metrics) -> pd.DataFrame:
    """One row per sweep: what it costs, and what its two-sided latents make of it.

    A sign-aware dictionary of width H in which a share q of all latents serves both signs holds as
    much as a Gated one of width (1 + q) H. It pays where q exceeds ``break_even_share``.
    """
    rows = []
    for sweep, cells in by_sweep(metrics).items():
        first = metrics[cells[0]]
        row = sweep._asdict() | {name: getattr(first, name) for name in COSTS}
        share = _spread({cell: bipolar_of_all(metrics[cell]) for cell in cells})
        if first.break_even_share is not None and share["cells"]:
            row |= {f"two_sided_share{end}": share[name] for end, name in SHARES.items()}
            row["gated_equivalent_width"] = (1 + share["mean"]) * sweep.width
        rows.append(row)
    shares = [f"two_sided_share{end}" for end in SHARES]
    return pd.DataFrame(rows, columns=[*SWEEP, *COSTS, *shares, "gated_equivalent_width"])


def calibration_table(metrics: Metrics, spec: Scope) -> pd.DataFrame:
    """Calibration slopes in full, at one lambda or k per sweep: the one whose L0 is nearest the
    first matched L0 (in log L0; cells with L0 = 0 have none).

    One row per (sweep, sign, percentage): the mean over seeds of the slope's quantile, with its
    standard error; ``latents`` is the mean number of slopes per seed.
    """
    level = spec.matched_levels[0]
    rows = []
    for sweep, cells in by_sweep(metrics).items():
        by_knob = groupby(cells, attrgetter("knob"))
        points = {knob: [metrics[cell] for cell in point] for knob, point in by_knob}
        l0 = {knob: Estimate.of(found.l0 for found in point).mean for knob, point in points.items()}
        knob = nearest_lambda(l0, level)
        if knob is not None:
            place = sweep._asdict() | {cells[0].knob_name: knob, "l0": l0[knob]}
            rows += [place | row for row in _slopes(points[knob])]
    columns = [*SWEEP, "lam", "k", "l0", "sign", "seeds", "latents", "percent", "slope", "slope_se"]
    return without_idle_k(pd.DataFrame(rows, columns=columns))


def _slopes(point: list[CellMetrics]) -> list[dict[str, Any]]:
    rows = []
    for sign in ("positive", "negative"):
        found = [getattr(cell.calibration, sign) for cell in point]
        known = [slopes for slopes in found if slopes.quantiles]
        for i, percent in enumerate(PERCENT if known else ()):
            latents = Estimate.of(slopes.latents for slopes in known).mean
            row = {"sign": sign, "seeds": len(known), "latents": latents, "percent": percent}
            slope = Estimate.of(slopes.quantiles[i] for slopes in known)
            rows.append(row | with_se("slope", slope))
    return rows
