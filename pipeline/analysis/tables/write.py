"""Stage: tables from the metrics of cells: cells, sweep points, comparisons, latents, effects; or
from what jobs found that look into cells.

    python -m pipeline tables --measures DIR --out-dir DIR
    python -m pipeline tables --of dial --measures DIR --out-dir DIR

CSVs hold every digit of what was measured, and twelve of what was computed from it.

Where the text has several sources, two tables more show whether a result hangs on one kind of text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pipeline.analysis.csv_files import write_tables
from pipeline.analysis.tables.comparison import ANSWERS, QUESTION, comparison_table
from pipeline.analysis.tables.contrasts import contrast_table
from pipeline.analysis.tables.dial import curve_table, dial_table
from pipeline.analysis.tables.effects import effect_table, main_effect_table
from pipeline.analysis.tables.latents import calibration_table, latent_table, parameter_table
from pipeline.analysis.tables.probing import absorption_table, probing_table
from pipeline.analysis.tables.signs import consistency_table, poles_table, starts_table
from pipeline.analysis.tables.sweeps import (
    Metrics,
    named_collapses,
    sweeps_of,
    with_se,
    without_idle_k,
)
from pipeline.study import outputs
from pipeline.study.dial import DialRun
from pipeline.study.measures import RUNS, Measures
from pipeline.study.probe import ProbeRun
from pipeline.study.scope import Scope
from pipeline.study.signs import SignsRun

# Columns of a comparison in R2. Dead latents and Loss Recovered are compared on all text only.
COMPARED = [name for name in ANSWERS if name.startswith(("overlap", "p_", "min", "mean", "max"))]


def source_table(metrics: Metrics) -> pd.DataFrame:
    """One row per (cell, source), with all that is measured on the source."""
    table = pd.DataFrame(
        asdict(cell) | {"source": name} | record.model_dump()
        for cell in sorted(metrics)
        for name, record in metrics[cell].sources.items()
    )
    return without_idle_k(table)


def comparison_by_source(metrics: Metrics, spec: Scope) -> pd.DataFrame:
    """One row per (comparison, model, hookpoint, source): the comparison in R2 on it alone.

    R2 is about the mean of the source's own rows, and L0 is that on the source. A source that some
    cell has no R2 on is left out.
    """
    columns = ["comparison", *QUESTION[:3], "source", *QUESTION[3:], "dominates", *COMPARED]
    parts = [pd.DataFrame(columns=columns)]
    for name in sorted({name for found in metrics.values() for name in found.sources}):
        records = {cell: found.sources.get(name) for cell, found in metrics.items()}
        own = {
            cell: metrics[cell].model_copy(update={"r2": record.r2, "l0": record.l0})
            for cell, record in records.items()
            if record is not None and record.r2 is not None
        }
        if len(own) == len(metrics):
            parts.append(comparison_table(own, spec).assign(source=name))
    table = pd.concat(parts[1:] or parts)[columns]
    return table.sort_index(kind="stable")  # sources of a question together


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


def tables_of_cells(metrics: Metrics, spec: Scope) -> dict[str, pd.DataFrame]:
    """Every table that follows from the metrics of cells, by file name."""
    latents = latent_table(metrics)
    tables = {
        outputs.CELLS: cell_table(metrics),
        outputs.POINTS: point_table(metrics),
        outputs.COMPARISON: comparison_table(metrics, spec),
        outputs.CONTRASTS: contrast_table(metrics, spec),
        outputs.LATENTS: latents,
        outputs.PARAMETERS: parameter_table(metrics, latents),
        outputs.CALIBRATION: calibration_table(metrics, spec),
    }
    if spec.sources:
        tables[outputs.SOURCES] = source_table(metrics)
        tables[outputs.BY_SOURCE] = comparison_by_source(metrics, spec)
    if spec.has_effects:
        effects = effect_table(tables[outputs.COMPARISON], metrics, spec)
        tables[outputs.EFFECTS] = effects
        tables[outputs.MAIN_EFFECTS] = main_effect_table(effects, spec.factors)
    return tables


# Tables whose numbers were measured, and keep every digit.
MEASURED = (outputs.CELLS, outputs.SOURCES)
# Section -> its tables, and what makes each of its runs.
OF_LOOKS: dict[str, dict[str, Callable[[Any], pd.DataFrame]]] = {
    DialRun.kind: {outputs.DIAL: dial_table, outputs.DIAL_CURVES: curve_table},
    ProbeRun.kind: {outputs.PROBING: probing_table, outputs.ABSORPTION: absorption_table},
    SignsRun.kind: {
        outputs.CONSISTENCY: consistency_table,
        outputs.POLES: poles_table,
        outputs.STARTS: starts_table,
    },
}


def main(
    measures: Path, out_dir: Path, of: Literal["cells", "dial", "probe", "signs"] = "cells"
) -> None:
    """Run the stage.

    Args:
        measures: folder of the measures
        out_dir: where the tables go
        of: measures that they are made from
    """
    known = Measures(measures)
    if of == "cells":
        tables = tables_of_cells(known.metrics(), known.scope)
    else:
        runs = known.runs(RUNS[of])
        tables = {name: make(runs) for name, make in OF_LOOKS[of].items()}
    write_tables(out_dir, of, known.scope, tables, exact=MEASURED)
