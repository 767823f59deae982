"""Whether a study could have a cell that somebody asks for by name."""

from __future__ import annotations

from dataclasses import replace

from pipeline.study.cell import Cell
from pipeline.study.config.recipes import DEFAULT_RECIPE, home
from pipeline.study.config.spelling import CellNameError
from pipeline.study.config.study_config import StudyConfig
from sagsae.autoencoders.registry import VARIANTS, K, knobs


def check_known(cell: Cell, config: StudyConfig) -> None:
    """Check a cell, which need not be on the grid, against a configuration.

    Raises:
        CellNameError: its model, hookpoint, variant or recipe is unknown here; its variant has a k
            and not a lambda, or the reverse; or its recipe does not concern its variant.
    """
    known = {
        "model": [model.name for model in config.models],
        "hookpoint": config.hookpoints,
        "variant": sorted({*VARIANTS, *(entry.variant for entry in config.grid)}),
        "recipe": ["", *config.recipes],
    }
    for field, names in known.items():
        if getattr(cell, field) not in names:
            raise CellNameError(
                f"{cell.path}: unknown {field} {getattr(cell, field)!r}; "
                f"this study has {', '.join(name or DEFAULT_RECIPE for name in names)}"
            )
    if cell.knob_name not in (allowed := knobs(cell.variant)):
        asked = replace(cell, lam=None, k=1) if K in allowed else replace(cell, lam=0.1, k=None)
        raise CellNameError(
            f"{cell.path}: {cell.variant} has no {cell.knob_name}; ask for a name such as "
            f"{asked.path}"
        )
    if (recipe := home(config.recipes, cell.recipe, cell.variant)) != cell.recipe:
        raise CellNameError(
            f"{cell.path}: recipe {cell.recipe!r} does not concern {cell.variant}; ask for "
            f"{replace(cell, recipe=recipe).path}"
        )
