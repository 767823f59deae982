"""Tables of a study: every cell, the sweep points, the comparisons (CSV and Markdown).

    python -m pipeline.tables --spec JSON --cells-root DIR --out-dir DIR

The metrics of a cell lie at <cells-root>/<cell path>/metrics.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.cell import Cell
from pipeline.metrics import CellMetrics, ComparisonSpec, read_all, spec_argument
from pipeline.stage import run_stage
from pipeline.study import FIGURES
from pipeline.wording import COMPARISON, Grid, matched_column, read_table, sweep_label, views
from sagsae.comparison import dead_reduction, dominance, matched, overlap
from sagsae.files import whole_file
from sagsae.sweeps import CellResult, Sweep

CELLS, POINTS, MARKDOWN = "cells.csv", "points.csv", "comparison.md"

Metrics = dict[Cell, CellMetrics]
Key = tuple[str, str, str, int]
"""(model, hookpoint, variant, width): what one sweep is."""

COMPARISON_COLUMNS = (
    "comparison",
    "model",
    "hookpoint",
    "candidate_variant",
    "candidate_width",
    "candidate_seeds",
    "baseline_variant",
    "baseline_width",
    "baseline_seeds",
    "overlap_lo",
    "overlap_hi",
    "overlap_reason",
    "dominates",
    "p_dominance",
    "p_reason",
    "min_gap",
    "min_gap_l0",
    "mean_gap",
    "dead_reduction",
    "dead_floored",
    "dead_points",
    "dead_reason",
    "lr_noisy",
    "collapsed",
)
POINT_COLUMNS = (
    "model",
    "hookpoint",
    "variant",
    "width",
    "lam",
    "seeds",
    "l0",
    "l0_se",
    *(column for metric in FIGURES for column in (metric, f"{metric}_se")),
    "lr_noisy",
    "collapsed",
)


def sweeps_of(metrics: Metrics) -> dict[Key, Sweep]:
    """All sweeps, in sorted order."""

    def key(cell: Cell) -> Key:
        return cell.model, cell.hookpoint, cell.variant, cell.width

    result = {}
    for name, cells in groupby(sorted(metrics), key=key):
        results = tuple(_result(cell, metrics[cell]) for cell in cells)
        result[name] = Sweep(label=sweep_label(*name[2:]), width=name[3], cells=results)
    return result


def _result(cell: Cell, metrics: CellMetrics) -> CellResult:
    return CellResult(
        name=cell.path,
        lam=cell.lam,
        seed=cell.seed,
        l0=metrics.l0,
        values={name: getattr(metrics, name) for name in FIGURES},
        collapsed=tuple(metrics.collapsed),
    )


def cell_table(metrics: Metrics) -> pd.DataFrame:
    """One flat row a cell: the cell's own fields first, nested records as ``group_field``."""
    rows = []
    for cell in sorted(metrics):
        row: dict[str, Any] = cell.as_dict()
        for name, value in metrics[cell].model_dump(exclude={"cell"}).items():
            if isinstance(value, dict):
                row |= {f"{name}_{inner}": item for inner, item in value.items()}
            else:
                row[name] = "; ".join(value) if isinstance(value, list) else value
        rows.append(row)
    return pd.DataFrame(rows)


def point_table(metrics: Metrics) -> pd.DataFrame:
    """One row a (sweep, lambda): means over seeds and standard errors (empty with one seed)."""
    noisy = {cell.path for cell, found in metrics.items() if found.lr_noisy}
    rows = []
    for (model, hookpoint, variant, width), sweep in sweeps_of(metrics).items():
        for point in sorted(sweep.points, key=lambda p: p.lam):
            row: dict[str, Any] = {
                "model": model,
                "hookpoint": hookpoint,
                "variant": variant,
                "width": width,
                "lam": point.lam,
                "seeds": point.seeds,
                "l0": point.l0.mean,
                "l0_se": point.l0.se,
                "lr_noisy": any(cell.name in noisy for cell in sweep.by_lambda[point.lam]),
                "collapsed": _collapsed([sweep], set(point.collapsed)),
            }
            for metric, estimate in point.values.items():
                row[metric] = estimate.mean if estimate else None
                row[f"{metric}_se"] = estimate.se if estimate else None
            rows.append(row)
    return pd.DataFrame(rows, columns=list(POINT_COLUMNS))


def _collapsed(sweeps: Sequence[Sweep], names: set[str] | None = None) -> str:
    found = {name: why for sweep in sweeps for name, why in sweep.collapsed.items()}
    return "; ".join(
        f"{name} ({', '.join(why)})"
        for name, why in found.items()
        if names is None or name in names
    )


def comparison_table(metrics: Metrics, spec: ComparisonSpec) -> pd.DataFrame:
    """One row a (comparison, model, hookpoint), in the order of the configuration."""
    sweeps = sweeps_of(metrics)
    noisy = {(cell.model, cell.hookpoint) for cell, found in metrics.items() if found.lr_noisy}
    rows = []
    for row, matched_l0 in _questions(spec):
        row["lr_noisy"] = (row["model"], row["hookpoint"]) in noisy
        rows.append(_compare(sweeps, row, matched_l0))
    levels = dict.fromkeys(l0 for item in spec.comparisons for l0 in item.matched_l0)
    asked = [column for l0 in levels for column in _matched_columns(l0)]
    return pd.DataFrame(rows, columns=[*COMPARISON_COLUMNS, *asked])


def _questions(spec: ComparisonSpec) -> Iterator[tuple[dict[str, Any], list[float]]]:
    for number, item in enumerate(spec.comparisons, start=1):
        for model, d_model in spec.models.items():
            for hookpoint in spec.hookpoints:
                row = {
                    "comparison": number,
                    "model": model,
                    "hookpoint": hookpoint,
                    "candidate_variant": item.candidate.variant,
                    "candidate_width": item.candidate.width_for(d_model),
                    "baseline_variant": item.baseline.variant,
                    "baseline_width": item.baseline.width_for(d_model),
                }
                yield row, item.matched_l0


def _matched_columns(l0: float) -> list[str]:
    values = [matched_column(l0, m, side) for m in FIGURES for side in ("candidate", "baseline")]
    return [*values, f"l0_{l0:g}_reason"]


def _compare(
    sweeps: dict[Key, Sweep], row: dict[str, Any], matched_l0: Sequence[float]
) -> dict[str, Any]:
    """Answer one question; a side that the grid lacks leaves a reason."""
    keys = [
        (row["model"], row["hookpoint"], row[f"{side}_variant"], row[f"{side}_width"])
        for side in ("candidate", "baseline")
    ]
    missing = [sweep_label(*key[2:]) for key in keys if key not in sweeps]
    if missing:
        reason = f"the grid has no {' and no '.join(missing)} here"
        return row | {"overlap_reason": reason, "dead_floored": 0, "dead_points": 0}
    candidate, baseline = (sweeps[key] for key in keys)
    shared, verdict = overlap(candidate, baseline), dominance(candidate, baseline)
    dead = dead_reduction(candidate, baseline)
    row |= {
        "candidate_seeds": candidate.seeds,
        "baseline_seeds": baseline.seeds,
        "overlap_lo": shared.lo,
        "overlap_hi": shared.hi,
        "overlap_reason": shared.reason,
        "dominates": verdict.dominates,
        "p_dominance": verdict.probability,
        "p_reason": verdict.probability_reason,
        "min_gap": verdict.min_gap,
        "min_gap_l0": verdict.min_gap_l0,
        "mean_gap": verdict.mean_gap,
        "dead_reduction": dead.factor,
        "dead_floored": dead.floored,
        "dead_points": dead.points,
        "dead_reason": dead.reason,
        "collapsed": _collapsed([candidate, baseline]),
    }
    for l0 in matched_l0:
        reasons = []
        for metric in FIGURES:
            found = matched(candidate, baseline, metric, l0)
            row[matched_column(l0, metric, "candidate")] = found.candidate
            row[matched_column(l0, metric, "baseline")] = found.baseline
            reasons.append(found.reason)
        row[f"l0_{l0:g}_reason"] = "; ".join(dict.fromkeys(filter(None, reasons)))
    return row


def markdown(table: pd.DataFrame, spec: ComparisonSpec) -> str:
    """The comparisons as a Markdown page."""
    parts = ["# Comparisons"]
    for view in views(table, spec):
        parts += [f"## {view.title}", view.headline]
        for grid in (view.dominance, *view.matched):
            parts += [f"### {grid.title}", _markdown_grid(grid)]
        parts += ["\n".join(f"- {note}" for note in view.notes)] if view.notes else []
    if not spec.comparisons:
        parts.append("The configuration lists no comparisons.")
    return "\n\n".join(parts) + "\n"


def _markdown_grid(grid: Grid) -> str:
    frame = pd.DataFrame(list(grid.rows), columns=list(grid.columns))
    return frame.to_markdown(index=False, disable_numparse=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.tables")
    spec_argument(parser)
    parser.add_argument("--cells-root", required=True, type=Path, help="folder of the cells")
    parser.add_argument("--out-dir", required=True, type=Path, help="where the tables go")
    options = parser.parse_args(arguments)
    spec: ComparisonSpec = options.spec
    metrics = read_all(options.cells_root, [Cell.from_path(path) for path in spec.cells])
    tables: dict[str, Callable[[], pd.DataFrame]] = {
        CELLS: lambda: cell_table(metrics),
        POINTS: lambda: point_table(metrics),
        COMPARISON: lambda: comparison_table(metrics, spec),
    }
    for name, make in tables.items():
        with whole_file(options.out_dir / name) as partial:
            make().to_csv(partial, index=False)
    with whole_file(options.out_dir / MARKDOWN) as partial:
        partial.write_text(markdown(read_table(options.out_dir / COMPARISON), spec))


if __name__ == "__main__":
    run_stage(main)
