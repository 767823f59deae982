"""The cells of one block of the grid."""

from __future__ import annotations

from itertools import product
from typing import Any

from pipeline.study.cell import Cell
from pipeline.study.config.grid import GridEntry
from pipeline.study.config.study_config import Model, StudyConfig


def cells_of(entry: GridEntry, config: StudyConfig) -> list[Cell]:
    """Cells of one block of the grid."""
    return [
        Cell(
            model=model.name,
            hookpoint=hookpoint,
            variant=entry.variant,
            recipe=recipe,
            width=entry.width_for(model.d_model),
            seed=seed,
            **knob,
        )
        for model, hookpoint, recipe, knob, seed in product(*axes_of(entry, config))
    ]


def axes_of(
    entry: GridEntry, config: StudyConfig
) -> tuple[list[Model], list[str], list[str], list[dict[str, Any]], list[int]]:
    """Models, hookpoints, recipes, lambdas or ks, and seeds of a block."""
    models = [m for m in config.models if entry.models is None or m.name in entry.models]
    hookpoints = entry.hookpoints or config.hookpoints
    return models, hookpoints, entry.recipe_names, entry.knob_values, entry.seeds
