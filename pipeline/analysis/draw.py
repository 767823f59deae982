"""Stage: draw a figure, with a CSV of the numbers that it shows.

    python -m pipeline figure --measures DIR --root DIR --out figures/figure_2.png

A figure shows the two sides of the first comparison; its name with ``_variants`` at the end asks
for every sweep of the grid. A recipe other than the default one follows: ``figure_2@zero-bias``. A
specification curve, such as ``figure_spec_gap``, shows all recipes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

from pipeline.analysis.csv_files import write_csv
from pipeline.analysis.figure import parts
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.study.measures import Measures
from pipeline.study.outputs import SCOPE
from pipeline.study.scope import Scope
from pipeline.study.training import DEFAULT_RECIPE
from sagsae.files import whole_file

STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "figure.dpi": 200,
    "svg.hashsalt": "sagsae",
    "pdf.fonttype": 42,  # text stays text in other programs
}
# Format -> what its file must not say of the day, or of the version.
UNDATED: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def draw(name: str, root: Path, spec: Scope, measures: Measures) -> Drawn:
    """A figure and its numbers.

    Args:
        name: Of the figure, with what it shows.
        root: Folder of the results, which has the tables.
        spec: Scope of the study.
        measures: Those that some figures draw besides.
    """
    figure, cut = parts(name)
    recipe = cut.recipe or next(iter(spec.trained))
    if recipe not in spec.trained:
        there = ", ".join(name or DEFAULT_RECIPE for name in spec.trained)
        raise ValueError(f"{name}: no cell is trained by recipe {recipe!r}; there is {there}")
    with mpl.rc_context(STYLE):
        drawn, numbers = figure.make(Shown(root, spec, recipe, cut.everything, measures))
        if spec.several and not figure.all_recipes:
            drawn.suptitle(f"Recipe {recipe or DEFAULT_RECIPE}", fontsize="medium")
    return drawn, numbers


def main(measures: Path, root: Path, out: Path) -> None:
    """Draw a figure and write it with its numbers. The same input gives the same bytes.

    Args:
        measures: folder of the measures
        root: folder of the results, which has the tables
        out: the image, .png, .svg or .pdf, named by the figure; beside a .png goes the .csv
    """
    spec, kind = Scope.read(measures / SCOPE), out.suffix[1:]
    figure, numbers = draw(out.stem, root, spec, Measures(measures))
    with mpl.rc_context(STYLE), whole_file(out) as partial:
        figure.savefig(partial, format=kind, metadata=UNDATED[kind])
    if kind == "png":
        write_csv(out.with_suffix(".csv"), numbers, None)
