"""The grid: its cells, and the faults of a configuration that concern more than one section."""

from __future__ import annotations

import json
from itertools import product
from math import prod
from shlex import quote

from pipeline import config as c
from pipeline.cell import Cell

COMMAND_BYTES = 120_000
"""What names and settings may take of one argument of a command; Linux ends it at 131,072."""
MOST_CELLS = 5_000
"""More never fit into ``COMMAND_BYTES``, and need not be enumerated to know it."""
RESERVED_MODEL = "text"
"""Its folder among the assets is that of the documents."""


def cells_of(entry: c.GridEntry, config: c.StudyConfig) -> list[Cell]:
    """Cells of one block of the grid."""
    return [
        Cell(
            model=model.name,
            hookpoint=hookpoint,
            variant=entry.variant,
            width=entry.width_for(model.d_model),
            lam=lam,
            seed=seed,
        )
        for model, hookpoint, lam, seed in product(*_axes(entry, config))
    ]


def _axes(
    entry: c.GridEntry, config: c.StudyConfig
) -> tuple[list[c.Model], list[str], list[float], list[int]]:
    models = [m for m in config.models if entry.models is None or m.name in entry.models]
    return models, entry.hookpoints or config.hookpoints, entry.lambdas, entry.seeds


def cross_faults(config: c.StudyConfig) -> list[str]:
    """Faults that concern more than one section, each with its path."""
    names = [model.name for model in config.models]
    faults = [
        f"models.{i}.name: {name!r} names the folder of the text; choose another"
        for i, name in enumerate(names)
        if name == RESERVED_MODEL
    ]
    faults += _twice("models.{}.name", names) + _twice("hookpoints.{}", config.hookpoints)
    standard = {"mlp_out", "attn", "resid"}
    for i, model in enumerate(config.models):
        missing = [h for h in config.hookpoints if h not in (set(model.hookpoints) or standard)]
        faults += [f"models.{i}.hookpoints: no module path for hookpoint {h!r}" for h in missing]
    for i, entry in enumerate(config.grid):
        for field, known in (("models", names), ("hookpoints", config.hookpoints)):
            faults += [
                f"grid.{i}.{field}.{j}: unknown {value!r}; known are {', '.join(known)}"
                for j, value in enumerate(getattr(entry, field) or [])
                if value not in known
            ]
    return faults or _cell_faults(config)


def _twice(path: str, values: list[str]) -> list[str]:
    return [
        f"{path.format(i)}: {value!r} is listed twice"
        for i, value in enumerate(values)
        if value in values[:i]
    ]


def _cell_faults(config: c.StudyConfig) -> list[str]:
    """Cells given twice, or more of them than a command line holds."""
    count = sum(prod(len(axis) for axis in _axes(entry, config)) for entry in config.grid)
    if count > MOST_CELLS:
        return [f"grid: {count:,} cells, and {MOST_CELLS:,} at most: divide the study"]
    faults = []
    seen: dict[Cell, int] = {}
    for i, entry in enumerate(config.grid):
        for cell in cells_of(entry, config):
            if cell in seen:
                faults.append(f"grid.{i}: cell {cell.path} is already given by grid.{seen[cell]}")
            seen.setdefault(cell, i)
    everything = {"cells": [cell.path for cell in seen], "config": config.model_dump()}
    size = len(quote(json.dumps(everything)))
    if size > COMMAND_BYTES:
        faults.append(
            f"grid: the names of {len(seen):,} cells and the settings take {size:,} bytes of a "
            f"command line that has {COMMAND_BYTES:,} for them: divide the study"
        )
    return faults
