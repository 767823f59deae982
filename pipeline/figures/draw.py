"""Figures 2, 3 and 11, and R2 against L0: PNG, SVG, and a CSV of what is drawn.

    python -m pipeline figure --spec JSON --tables DIR --figure figure_2 --out figures/figure_2.png

A figure shows the two sides of the first comparison; its name with ``_variants`` at the end asks
for every sweep of the grid.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures import calibration as calibration_figure
from pipeline.figures import sweep as sweep_figure
from pipeline.figures.canvas import STYLE, write
from pipeline.figures.series import in_main_comparison, styles, with_series
from pipeline.study.comparison_spec import ComparisonSpec, spec_argument
from pipeline.study.outputs import CALIBRATION, COMPARISON, FIGURES, POINTS, VARIANTS_SUFFIX
from pipeline.text.csv_files import read_table

METRIC = {"figure_2": "dead_fraction", "figure_3": "loss_recovered", "figure_r2": "r2"}
"""Figures of one metric against log L0; figure_11 is the other one."""


def numbers(name: str, tables: Path, spec: ComparisonSpec) -> pd.DataFrame:
    """What a figure draws, as its CSV has it."""
    shown = _shown(name, tables, spec)
    if (metric := _metric(name)) is None:
        return calibration_figure.drawn(shown)
    return sweep_figure.drawn(shown, _bands(name, tables), metric)


def draw(name: str, tables: Path, spec: ComparisonSpec) -> Figure:
    """The figure itself."""
    series = styles(with_series(read_table(tables / POINTS), spec), spec)
    shown = _shown(name, tables, spec)
    if (metric := _metric(name)) is None:
        return calibration_figure.draw(shown, spec, series)
    return sweep_figure.draw(shown, _bands(name, tables), metric, spec, series)


def _metric(name: str) -> str | None:
    return METRIC.get(name.removesuffix(VARIANTS_SUFFIX))


def _shown(name: str, tables: Path, spec: ComparisonSpec) -> pd.DataFrame:
    """Sweep points, or slopes, of the main comparison or of everything."""
    table = with_series(read_table(tables / (POINTS if _metric(name) else CALIBRATION)), spec)
    if name.endswith(VARIANTS_SUFFIX):
        return table
    return table[in_main_comparison(table, spec)]


def _bands(name: str, tables: Path) -> pd.DataFrame:
    """Overlaps that are shaded: those of the main comparison in its own figures."""
    overlaps = read_table(tables / COMPARISON)
    return overlaps[(overlaps["comparison"] == 1) & (not name.endswith(VARIANTS_SUFFIX))]


def write_figure(name: str, tables: Path, spec: ComparisonSpec, out: Path) -> None:
    """Draw a figure and write it with its numbers."""
    with mpl.rc_context(STYLE):
        write(draw(name, tables, spec), numbers(name, tables, spec), out)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the stage."""
    spec_argument(parser)
    names = [name + end for end in ("", VARIANTS_SUFFIX) for name in FIGURES]
    parser.add_argument("--tables", required=True, type=Path, help="folder of the tables")
    parser.add_argument("--figure", required=True, choices=names, help="name of the figure")
    parser.add_argument("--out", required=True, type=Path, help="the .png; .svg and .csv beside it")


def main(options: argparse.Namespace) -> None:
    """Run the stage."""
    write_figure(options.figure, options.tables, options.spec, options.out)
