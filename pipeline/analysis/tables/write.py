"""Stage: tables from the metrics of cells: cells, sweep points, comparisons, latents, effects.

    python -m pipeline tables --measures DIR --out-dir DIR

CSVs hold every digit of what was measured, and twelve of what was computed from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.analysis.csv_files import write_csv
from pipeline.analysis.tables.comparison import comparison_table
from pipeline.analysis.tables.contrasts import contrast_table
from pipeline.analysis.tables.effects import effect_table
from pipeline.analysis.tables.latents import calibration_table, latent_table, parameter_table
from pipeline.analysis.tables.main_effects import main_effect_table
from pipeline.analysis.tables.sources import comparison_by_source, source_table
from pipeline.analysis.tables.sweeps import (
    Metrics,
    named_collapses,
    sweeps_of,
    with_se,
    without_idle_k,
)
from pipeline.study import outputs
from pipeline.study.measures import Measures
from pipeline.study.scope import Scope


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
    noisy = {cell.path for cell, found in metrics.items() if found.lr_noisy}
    rows = []
    for key, sweep in sweeps_of(metrics).items():
        for point in sorted(sweep.points, key=lambda p: (p.lam, p.seed or 0)):
            row = key._asdict() | {"lam": None, "k": None} | {sweep.knob: point.lam}
            row |= {"seeds": point.seeds, "seed": point.seed}
            for name, estimate in {"l0": point.l0, **point.values}.items():
                row |= with_se(name, estimate)
            row["lr_noisy"] = not noisy.isdisjoint(point.names)
            row["collapsed"] = named_collapses([sweep], point.collapsed)
            rows.append(row)
    return without_idle_k(pd.DataFrame(rows).astype({"seed": "Int64"}))


def write_tables(metrics: Metrics, spec: Scope, folder: Path) -> None:
    """Write every table of a study but the claims into ``folder``."""
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
    for name, table in tables.items():
        measured = name in (outputs.CELLS, outputs.SOURCES)
        write_csv(folder / name, table, None if measured else "%.12g")


def main(measures: Path, out_dir: Path) -> None:
    """Run the stage.

    Args:
        measures: folder of the measures
        out_dir: where the tables go
    """
    spec = Scope.read(measures / outputs.SCOPE)
    write_tables(Measures(measures).metrics(spec), spec, out_dir)
