"""Tables of latents: census and calibration of each sweep, its parameters, its slopes in full."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean
from typing import Any

import pandas as pd

from pipeline.analysis.columns import SWEEP as SHOWN
from pipeline.analysis.columns import Column
from pipeline.analysis.table import Table
from pipeline.analysis.tables.sweeps import SWEEP, Metrics, with_se
from pipeline.study.cell import by_sweep
from pipeline.study.looks import nearest_lambda
from pipeline.study.metrics import CellMetrics
from pipeline.study.scope import Scope
from sagsae.comparison.sweeps import Estimate

COSTS = ("d_model", "parameters", "parameters_per_latent", "break_even_share")
# Columns of latents.csv -> their names in parameters.csv.
SHARES = {"mean": "two_sided_share", "se": "two_sided_share_se", "lo": "two_sided_share_lo"}


def _quantities(table: pd.DataFrame) -> pd.DataFrame:
    """A row per sweep, with a column per quantity and its error."""
    wide = table.pivot(index=list(SWEEP), columns="quantity")
    return wide["mean"].join(wide["se"].add_suffix("_se")).reset_index()


LATENTS = Table(
    "latents",
    "Latents that fire with both signs",
    reads="A row is a mean over the cells of a sweep; ± is one standard error over seeds.",
    columns=[
        f"{SHOWN} bipolar_fraction bipolar_firing_share minority_share_median",
        Column("top1_bipolar_fraction", "Top 1 %, bipolar fraction"),
        Column("top10_bipolar_fraction", "Top 10 %, bipolar fraction"),
        Column("top1_minority_share", "Top 1 %, minority share"),
        "slope_positive_median slope_negative_median",
    ],
    texts="quantity",
    prepare=_quantities,
)
COST = Table(
    "parameters",
    "Parameter accounting",
    reads="Signed latents pay for their parameters if the share that fires with both signs is "
    "above break-even.",
)
CALIBRATION = Table(
    "calibration",
    "Calibration",
    header=f"{SHOWN} lam k l0 sign seeds latents percent slope slope_se",
    texts="sign",
    report=False,
)


def quantities(measured: CellMetrics) -> dict[str, float | None]:
    """What latents.csv holds of a cell. Shares are of live latents, ``bipolar_of_all`` of all."""
    share, census, slopes = measured.bipolar_fraction, measured.census, measured.calibration
    minority = census.minority_share_quantiles
    return {
        "bipolar_fraction": share,
        "bipolar_firing_share": measured.bipolar_firing_share,
        "bipolar_of_all": None if share is None else share * (1 - measured.dead_fraction),
        "minority_share_median": minority[len(minority) // 2] if minority else None,
        "top1_bipolar_fraction": census.top1_bipolar_fraction,
        "top10_bipolar_fraction": census.top10_bipolar_fraction,
        "top1_minority_share": census.top1_minority_share,
        "top10_minority_share": census.top10_minority_share,
        "slope_positive_median": slopes.positive.median,
        "slope_negative_median": slopes.negative.median,
    }


@LATENTS.made_from("cells")
def latent_table(metrics: Metrics) -> pd.DataFrame:
    """Long: one row per (sweep, quantity).

    ``mean`` is over cells and ``se`` over seeds, each seed averaged over its lambdas first; ``lo``
    and ``hi`` are the extremes over cells. A cell that collapsed, or where the quantity is
    undefined (no live latents), is left out and not counted in ``cells``.
    """
    keys = [*SWEEP, "quantity"]
    long = pd.DataFrame(
        {**cell.sweep._asdict(), "seed": cell.seed, "quantity": name}
        | {"value": None if metrics[cell].collapsed else value}
        for cell in sorted(metrics)
        for name, value in quantities(metrics[cell]).items()
    ).astype({"value": float})
    values = long.groupby(keys, sort=False)["value"]
    table = values.agg(mean="mean", lo="min", hi="max", cells="count")
    by_seed = long.groupby([*keys, "seed"], sort=False)["value"].mean().groupby(keys, sort=False)
    table = table.assign(se=by_seed.sem(), seeds=by_seed.count()).reset_index()
    return table[[*keys, "mean", "se", "lo", "hi", "cells", "seeds"]]


@COST.made_from("cells")
def parameter_table(metrics: Metrics, latents: pd.DataFrame) -> pd.DataFrame:
    """One row per sweep: what it costs, and what its two-sided latents make of it.

    A sign-aware dictionary of width H in which a share q of all latents serves both signs holds as
    much as a Gated one of width (1 + q) H. It pays where q exceeds ``break_even_share``.

    Args:
        metrics: Of the study's cells.
        latents: latents.csv.
    """
    table = pd.DataFrame(
        key._asdict() | {name: getattr(metrics[cells[0]], name) for name in COSTS}
        for key, cells in by_sweep(metrics).items()
    ).astype({"break_even_share": float})
    shares = latents[latents["quantity"] == "bipolar_of_all"].rename(columns=SHARES)
    table = table.merge(shares[[*SWEEP, *SHARES.values()]], on=list(SWEEP))
    table.loc[table["break_even_share"].isna(), [*SHARES.values()]] = float("nan")
    return table.assign(gated_equivalent_width=(1 + table["two_sided_share"]) * table["width"])


@CALIBRATION.made_from("cells")
def calibration_table(metrics: Metrics, spec: Scope) -> Iterator[dict[str, Any]]:
    """Calibration slopes in full, at one lambda or k per sweep: the one whose L0 is nearest the
    first matched L0 (in log L0; cells with L0 = 0 have none).

    One row per (sweep, sign, percentage): the mean over seeds of the slope's quantile, with its
    standard error; ``latents`` is the mean number of slopes per seed.
    """
    for sweep, cells in by_sweep(metrics).items():
        points: dict[float, list[CellMetrics]] = {}
        for cell in (cell for cell in cells if not metrics[cell].collapsed):
            points.setdefault(cell.knob, []).append(metrics[cell])
        l0 = {knob: fmean(cell.l0 for cell in point) for knob, point in points.items()}
        knob = nearest_lambda(l0, spec.matched_levels[0])
        if knob is None:
            continue
        for sign in ("positive", "negative"):
            slopes = [getattr(cell.calibration, sign) for cell in points[knob]]
            known = [slope for slope in slopes if slope.quantiles]
            row = sweep._asdict() | {cells[0].knob_name: knob, "l0": l0[knob], "sign": sign}
            for i, quantiles in enumerate(zip(*(slope.quantiles for slope in known), strict=True)):
                row |= {"seeds": len(known), "latents": fmean(slope.latents for slope in known)}
                yield row | {"percent": 2 * i} | with_se("slope", Estimate.of(quantiles))
