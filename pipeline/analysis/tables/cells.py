"""cells.csv: all that was measured of each cell; points.csv: means over seeds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from pipeline.analysis.columns import CELL, METRICS, SWEEP, Column
from pipeline.analysis.table import Table
from pipeline.analysis.tables.sweeps import (
    Metrics,
    collapses,
    joined,
    sweeps_of,
    with_places,
    with_se,
)
from pipeline.study.scope import MATCHED

CELLS = Table(
    "cells",
    "Cells",
    columns=[CELL, METRICS, "collapsed", Column("jumped", "Error jumped at step")],
    texts="training_device training_matmul_dtype made_from_*",
    exact=True,
)
POINTS = Table(
    "points",
    "Sweep points",
    reads="A row is a mean over seeds, or one seed where they lie far apart in L0.",
    columns=[SWEEP, "lam k seeds seed", METRICS, "loss_added collapsed"],
    whole="seed",
)


@CELLS.made_from("cells")
def cell_table(metrics: Metrics) -> pd.DataFrame:
    """One flat row per cell: the cell's own fields first, nested records as ``group_field``.

    A metric that a cell's file does not have is empty; one that no file has is no column. Quantiles
    stay in the cell's metrics; what is measured by source has a table of its own.
    """
    apart = {"cell", "schema_version", "sources"}
    rows = [
        asdict(cell) | _flat(metrics[cell].model_dump(exclude=apart, exclude_unset=True))
        for cell in sorted(metrics)
    ]
    return with_places(pd.DataFrame(rows))


def _flat(values: dict[str, Any], group: str = "") -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            row |= _flat(value, f"{group}{name}_")
        elif name == "collapsed":
            row[name] = "; ".join(value)
        elif not isinstance(value, list):
            row[f"{group}{name}"] = value
    return row


@POINTS.made_from("cells")
def point_table(metrics: Metrics) -> pd.DataFrame:
    """One row per (sweep, lambda): means over seeds and standard errors (empty with one seed).

    Where seeds lie far apart in L0 or collapsed, a row of its own is of one ``seed``.
    """
    rows = []
    for key, sweep in sweeps_of(metrics).items():
        reasons = collapses(sweep)
        for point in sorted(sweep.points, key=lambda point: (point.lam, point.seed or 0)):
            row = key._asdict() | {"lam": None, "k": None} | {sweep.knob: point.lam}
            row |= {"seeds": point.seeds, "seed": point.seed}
            row |= with_se("l0", point.l0)
            for name in MATCHED:
                row |= with_se(name, point.values[name])
            rows.append(row | {"collapsed": joined(reasons[name] for name in point.collapsed)})
    return with_places(pd.DataFrame(rows))
