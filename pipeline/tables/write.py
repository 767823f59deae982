"""Tables of a study as CSV, Markdown and LaTeX: cells, sweep points, comparisons, latents, effects.

    python -m pipeline tables --spec JSON --cells-root DIR --out-dir DIR

The metrics of a cell lie at <cells-root>/<cell path>/metrics.json. CSVs hold every digit of what
was measured, and twelve of what was computed from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.study import outputs
from pipeline.study.cell import Cell
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.knob_columns import without_idle_k
from pipeline.study.metrics import read_all
from pipeline.tables.comparison import comparison_table
from pipeline.tables.comparison_text import views
from pipeline.tables.contrasts import contrast_table
from pipeline.tables.effect_text import effect_parts, main_effect_parts
from pipeline.tables.effects import effect_table
from pipeline.tables.latent_text import READS, contrast_grids, latent_grid, parameter_grid
from pipeline.tables.latents import calibration_table, latent_table, parameter_table
from pipeline.tables.main_effects import main_effect_table
from pipeline.tables.sources import comparison_by_source, source_names, source_table
from pipeline.tables.sweeps import (
    Metrics,
    knob_column,
    named_collapses,
    sweeps_of,
    with_se,
)
from pipeline.text.csv_files import read_table, write_csv
from pipeline.text.numbers import Grid
from pipeline.text.pages import write_page


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
            knob = {"lam": None, "k": None} | knob_column(sweep, point.lam)
            row = key._asdict() | knob | {"seeds": point.seeds, "seed": point.seed}
            for name, estimate in {"l0": point.l0, **point.values}.items():
                row |= with_se(name, estimate)
            row["lr_noisy"] = not noisy.isdisjoint(point.names)
            row["collapsed"] = named_collapses([sweep], set(point.collapsed))
            rows.append(row)
    return without_idle_k(pd.DataFrame(rows).astype({"seed": "Int64"}))


def write_tables(metrics: Metrics, spec: ComparisonSpec, folder: Path) -> None:
    """Write every table of a study but the claims into ``folder``."""
    tables = {
        outputs.CELLS: cell_table(metrics),
        outputs.POINTS: point_table(metrics),
        outputs.COMPARISON: comparison_table(metrics, spec),
        outputs.CONTRASTS: contrast_table(metrics, spec),
        outputs.LATENTS: latent_table(metrics),
        outputs.PARAMETERS: parameter_table(metrics),
        outputs.CALIBRATION: calibration_table(metrics, spec),
    }
    if source_names(metrics):
        tables[outputs.SOURCES] = source_table(metrics)
        tables[outputs.BY_SOURCE] = comparison_by_source(metrics, spec)
    if spec.has_effects:
        effects = effect_table(tables[outputs.COMPARISON], metrics, spec)
        tables[outputs.EFFECTS] = effects
        tables[outputs.MAIN_EFFECTS] = main_effect_table(effects, spec.factors)
    for name, table in tables.items():
        measured = name in (outputs.CELLS, outputs.SOURCES)
        write_csv(folder / name, table, None if measured else "%.12g")
    read = {name: read_table(folder / name) for name in tables}
    contrasts = contrast_parts(read[outputs.CONTRASTS], spec)
    latents = latent_grid(read[outputs.LATENTS], spec.several)
    parameters = parameter_grid(read[outputs.PARAMETERS], spec.several)
    pages: dict[str, tuple[str, list[str | Grid]]] = {
        outputs.COMPARISON: ("Comparisons", comparison_parts(read[outputs.COMPARISON], spec)),
        outputs.CONTRASTS: ("Tying, ablations, width", contrasts),
        outputs.LATENTS: ("Latents", [latents]),
        outputs.PARAMETERS: (
            "Parameters",
            [parameters],
        ),
    }
    if spec.has_effects:
        effects, moves = read[outputs.EFFECTS], read[outputs.MAIN_EFFECTS]
        pages[outputs.EFFECTS] = ("Effects under each setting", effect_parts(effects, spec))
        pages[outputs.MAIN_EFFECTS] = ("What moves each effect", main_effect_parts(moves))
    for name, (title, parts) in pages.items():
        write_page(folder / name, title, parts)


def comparison_parts(table: pd.DataFrame, spec: ComparisonSpec) -> list[str | Grid]:
    """The comparisons as paragraphs and tables."""
    parts: list[str | Grid] = []
    for view in views(table, spec):
        parts += [f"## {view.title}", view.headline, view.dominance, *view.matched]
        parts += ["\n".join(f"- {note}" for note in view.notes)] if view.notes else []
    return parts or ["The configuration lists no comparisons."]


def contrast_parts(table: pd.DataFrame, spec: ComparisonSpec) -> list[str | Grid]:
    """The contrasts under what each kind reads as."""
    parts: list[str | Grid] = []
    for kind, rows in table.groupby("kind", sort=False):
        parts += [READS[str(kind)], *contrast_grids(rows, spec)]
    return parts or ["The grid has no two sweeps that differ by one part or by the width."]


def main(spec: ComparisonSpec, cells_root: Path, out_dir: Path) -> None:
    """Run the stage.

    Args:
        spec: the study's comparison spec as JSON, or @FILE that holds it
        cells_root: folder of the cells
        out_dir: where the tables go
    """
    metrics = read_all(cells_root, [Cell.from_path(path) for path in spec.cells])
    write_tables(metrics, spec, out_dir)
