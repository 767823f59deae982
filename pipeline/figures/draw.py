"""A figure of the tables: PNG, SVG, and a CSV of what is drawn.

    python -m pipeline figure --spec JSON --tables DIR --figure figure_2 --out figures/figure_2.png

A figure shows the two sides of the first comparison; its name with ``_variants`` at the end asks
for every sweep of the grid. A recipe other than the default one follows: ``figure_2@zero-bias``. A
specification curve, such as ``figure_spec_gap``, shows all recipes.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import matplotlib as mpl

from pipeline.config.formats import FigureFormat
from pipeline.config.recipes import DEFAULT_RECIPE
from pipeline.figures.canvas import STYLE, write
from pipeline.figures.shown import Drawn, Shown, function_named
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.figures import RECIPE_MARK, SPECIFICATION_FIGURES, VARIANTS_SUFFIX


def draw(name: str, tables: Path, spec: ComparisonSpec, cells: Path | None = None) -> Drawn:
    """A figure and its numbers, by the function of its name in whatever module of this folder."""
    found = iter_modules([str(Path(__file__).parent)], f"{__package__}.")
    modules = (import_module(module.name) for module in found)
    name, _, asked = name.partition(RECIPE_MARK)
    recipe = asked or next(iter(spec.trained))
    function = function_named(name.removesuffix(VARIANTS_SUFFIX), modules)
    everything = name.endswith(VARIANTS_SUFFIX)
    figure, numbers = function(Shown(tables, spec, recipe, everything, cells))
    if spec.several and name not in SPECIFICATION_FIGURES:
        figure.suptitle(f"Recipe {recipe or DEFAULT_RECIPE}", fontsize="medium")
    return figure, numbers


def main(
    figure: str,
    tables: Path,
    spec: ComparisonSpec,
    out: Path,
    cells_root: Path | None = None,
    formats: Sequence[FigureFormat] = ("svg",),
) -> None:
    """Draw a figure and write it with its numbers.

    Args:
        figure: name of the figure, such as figure_2, figure_2_variants or figure_2@zero-bias
        tables: folder of the tables
        spec: the study's comparison spec as JSON, or @FILE that holds it
        out: the .png; .csv and further formats beside it
        cells_root: folder of the cells, for figure_curves
        formats: further formats
    """
    with mpl.rc_context(STYLE):
        write(*draw(figure, tables, spec, cells_root), out, formats)
