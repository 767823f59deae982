"""The cells of one block of the grid."""

from __future__ import annotations

from itertools import product

from pipeline.config import study_config as c
from pipeline.study.cell import Cell


def cells_of(entry: c.GridEntry, config: c.StudyConfig) -> list[Cell]:
    """Cells of one block of the grid."""
    return [
        Cell(
            model=model.name,
            hookpoint=hookpoint,
            variant=entry.variant,
            recipe=recipe,
            width=entry.width_for(model.d_model),
            lam=lam,
            seed=seed,
        )
        for model, hookpoint, recipe, lam, seed in product(*axes_of(entry, config))
    ]


def axes_of(
    entry: c.GridEntry, config: c.StudyConfig
) -> tuple[list[c.Model], list[str], list[str], list[float], list[int]]:
    """Models, hookpoints, recipes, lambdas and seeds of a block."""
    models = [m for m in config.models if entry.models is None or m.name in entry.models]
    hookpoints = entry.hookpoints or config.hookpoints
    return models, hookpoints, entry.recipe_names, entry.lambdas, entry.seeds
