"""A figure of the tables: PNG, SVG, and a CSV of what is drawn.

    python -m pipeline figure --spec JSON --tables DIR --figure figure_2 --out figures/figure_2.png

A figure shows the two sides of the first comparison; its name with ``_variants`` at the end asks
for every sweep of the grid.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import matplotlib as mpl

from pipeline.figures.canvas import STYLE, write
from pipeline.figures.shown import Drawn, Shown, function_named
from pipeline.study.comparison_spec import ComparisonSpec, spec_argument
from pipeline.study.figures import FIGURES, VARIANTS_SUFFIX


def draw(name: str, tables: Path, spec: ComparisonSpec) -> Drawn:
    """A figure and its numbers, by the function of its name in whatever module of this folder."""
    found = iter_modules([str(Path(__file__).parent)], f"{__package__}.")
    modules = (import_module(module.name) for module in found)
    function = function_named(name.removesuffix(VARIANTS_SUFFIX), modules)
    return function(Shown(tables, spec, name.endswith(VARIANTS_SUFFIX)))


def write_figure(name: str, tables: Path, spec: ComparisonSpec, out: Path) -> None:
    """Draw a figure and write it with its numbers."""
    with mpl.rc_context(STYLE):
        write(*draw(name, tables, spec), out)


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
