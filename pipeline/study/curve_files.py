"""Which training curves a study draws: those of the main comparison, one seed of each cell.

Cells that an earlier version trained have none, and nobody trains them again for it. So what there
is to draw is told from what is on disk.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.study.cell import Cell, by_sweep
from pipeline.study.figure_names import FEW_RECIPES, marked_names
from pipeline.study.figures import CURVE_FIGURES
from pipeline.study.outputs import CURVE
from pipeline.study.study import Study


def drawn_cells(study: Study) -> list[Cell]:
    """The cells whose curves may be drawn: of each sweep of the main comparison, or of the grid
    where nothing is compared, the lowest seed of each lambda or k. Those of other libraries
    have none.
    """
    spec, found = study.compared, list[Cell]()
    for cells in by_sweep(study.cells).values():
        first: dict[float, Cell] = {}
        for cell in sorted(cells, key=lambda cell: cell.seed):
            if spec.in_main(cell.model, cell.variant, cell.width) and cell not in study.foreign:
                first.setdefault(cell.knob, cell)
        found += first.values()
    return found


def curves_of(study: Study, recipe: str) -> list[str]:
    """The curves to draw under a recipe: those there are, and those of cells to be trained."""
    spec = study.compared
    paths = [
        (study.cell_file(cell, CURVE), study.metrics(cell))
        for cell in drawn_cells(study)
        if cell.recipe == spec.home(recipe, cell.variant)
        and (cell.model, cell.hookpoint) in spec.trained[recipe]
    ]
    return [curve for curve, metrics in paths if Path(curve).exists() or not Path(metrics).exists()]


def figures_with_curves(study: Study) -> list[str]:
    """The figures of curves that the whole study draws: where there is something to draw that no
    other recipe shows, and of many recipes that of the first one."""
    own = {cell.recipe for cell in drawn_cells(study)}
    figures = curve_figures(study).items()
    names = [name for name, recipe in figures if recipe in own and curves_of(study, recipe)]
    return names[:1] if len(study.compared.trained) > FEW_RECIPES else names


def curve_figures(study: Study) -> dict[str, str]:
    """Figure of curves -> the recipe that it shows, whether there is something to draw or not."""
    spec = study.compared
    return {
        name: recipe
        for recipe in spec.trained
        for name in marked_names(CURVE_FIGURES, [recipe], spec.several)
    }
