"""cells.csv: all that was measured of each cell; points.csv: means over seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pandas as pd

from pipeline.analysis.columns import CELL, METRICS, SWEEP, Column
from pipeline.analysis.table import Table
from pipeline.analysis.tables.sweeps import (
    Metrics,
    named_collapses,
    sweeps_of,
    with_se,
    without_idle_k,
)

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
    columns=[SWEEP, "lam k seeds seed", METRICS, "collapsed"],
)


@CELLS.made_from("cells")
def cell_table(metrics: Metrics) -> pd.DataFrame:
    """One flat row per cell: the cell's own fields first, nested records as ``group_field``.

    A metric that a cell's file does not have is empty; one that no file has is no column. Quantiles
    stay in the cell's metrics; what is measured by source has a table of its own.
    """
    own = {"cell", "schema_version", "sources"}
    table = pd.DataFrame(
        asdict(cell) | dict(_flat(metrics[cell].model_dump(exclude=own, exclude_unset=True)))
        for cell in sorted(metrics)
    )
    return without_idle_k(table)


def _flat(values: dict[str, Any], group: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{group}{name}_")
        elif name == "collapsed":
            yield name, "; ".join(value)
        elif not isinstance(value, list):
            yield f"{group}{name}", value


@POINTS.made_from("cells")
def point_table(metrics: Metrics) -> pd.DataFrame:
    """One row per (sweep, lambda): means over seeds and standard errors (empty with one seed).

    Where seeds lie far apart in L0 or collapsed, a row of its own is of one ``seed``.
    """
    rows = []
    for key, sweep in sweeps_of(metrics).items():
        for point in sorted(sweep.points, key=lambda p: (p.lam, p.seed or 0)):
            row = key._asdict() | {"lam": None, "k": None} | {sweep.knob: point.lam}
            row |= {"seeds": point.seeds, "seed": point.seed}
            for name, estimate in {"l0": point.l0, **point.values}.items():
                row |= with_se(name, estimate)
            row["collapsed"] = named_collapses([sweep], point.collapsed)
            rows.append(row)
    return without_idle_k(pd.DataFrame(rows).astype({"seed": "Int64"}))
