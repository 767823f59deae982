"""Which figures a study has, by name: those of its sweeps, under each recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain

from pipeline.config.study_config import StudyConfig
from pipeline.study.cell import Cell
from pipeline.study.figures import (
    FIGURES,
    RECIPE_MARK,
    SPECIFICATION_FIGURES,
    VARIANTS_SUFFIX,
)

FEW_RECIPES = 3
"""Up to here a study draws every figure under each recipe."""
OF_MANY = ("figure_r2", "figure_2")
"""What it draws where there are more, under each recipe but the first with a sweep of several
points; the rest on demand."""


def figure_names(
    config: StudyConfig, cells: Iterable[Cell], effects: bool = False, on_demand: bool = False
) -> tuple[str, ...]:
    """The main comparison in figures of their own, and all sweeps where there are others; each
    recipe apart. A recipe under which neither side of the main comparison is trained has the
    others alone. Before them the specification curves, where there are effects to set side by side.

    Args:
        config: Has the comparisons and the recipes.
        cells: Of the grid.
        effects: Whether the study compares half width with full width under several settings.
        on_demand: With those that only a command that names them draws: of many recipes, most.
    """
    found, sides = list(cells), _main_sides(config)
    beside = bool(sides) and any(_side(cell) not in sides for cell in found)
    others = (VARIANTS_SUFFIX,) if beside else ()
    names = tuple(name + suffix for suffix in ("", *others) for name in FIGURES)
    curves = tuple(SPECIFICATION_FIGURES) if effects else ()
    trained = {cell.recipe for cell in found}
    if len(trained) < 2:
        return curves + names
    first, *more = sorted(trained)  # the default one, whose name is empty, before the others
    fewer = names
    if len(trained) > FEW_RECIPES and not on_demand:
        fewer = tuple(name + suffix for suffix in others or ("",) for name in OF_MANY)
        points = Counter(sweep for sweep, *_ in {(cell.sweep, cell.lam, cell.k) for cell in found})
        lines = {sweep.recipe for sweep, count in points.items() if count > 1}
        more = [recipe for recipe in more if recipe in lines]
    compared = {cell.recipe for cell in found if not sides or _side(cell) in sides}
    every = tuple(name for name in fewer if name.endswith(VARIANTS_SUFFIX))
    own = {recipe: fewer if recipe in compared else every for recipe in more}
    rest = (marked_names(shown, [recipe], True) for recipe, shown in own.items())
    return curves + marked_names(names, [first], True) + tuple(chain.from_iterable(rest))


def _side(cell: Cell) -> tuple[str, str, int]:
    return cell.model, cell.variant, cell.width


def _main_sides(config: StudyConfig) -> set[tuple[str, str, int]]:
    """(model, variant, width) of both sides of the first comparison, if any."""
    return {
        (model.name, side.variant, side.width_for(model.d_model))
        for item in config.comparisons[:1]
        for side in (item.candidate, item.baseline)
        for model in config.models
    }


def marked_names(names: Iterable[str], recipes: Iterable[str], several: bool) -> tuple[str, ...]:
    """The names of some figures under each of some recipes.

    Args:
        names: of the figures.
        recipes: their names, the default one as an empty text.
        several: whether the study has several recipes.
    """
    found = list(names)
    return tuple(
        name + (RECIPE_MARK + recipe if several and recipe else "")
        for recipe in dict.fromkeys(recipes)
        for name in found
    )
