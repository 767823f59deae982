"""The grid: its cells, and the faults of a configuration that concern more than one section."""

from __future__ import annotations

import json
from math import prod
from shlex import quote
from typing import Any

from pipeline.config import study_config as c
from pipeline.study.blocks import axes_of, cells_of
from pipeline.study.browser_faults import browser_faults
from pipeline.study.cell import Cell
from pipeline.study.dials import dial_faults
from pipeline.study.foreign import foreign_faults
from pipeline.study.probes import probe_faults
from pipeline.study.recipes import recipe_faults
from pipeline.study.restrictions import unknown_names

COMMAND_BYTES = 120_000
"""What settings may take of one argument of a command; Linux ends it at 131,072."""
MOST_CELLS = 50_000
"""Snakemake plans some 1,000 a second and keeps them all in memory."""
RESERVED_MODEL = "text"
"""Its folder among the assets is that of the documents."""


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
        faults += unknown_names(config, entry, f"grid.{i}", ("models", "hookpoints"))
    faults += recipe_faults(config) + dial_faults(config) + probe_faults(config)
    faults += browser_faults(config) + foreign_faults(config)
    faults += _knob_faults(config)
    return faults or _cell_faults(config) + _long_settings(config)


def _knob_faults(config: c.StudyConfig) -> list[str]:
    """More active latents than there are, and sweeps with lambdas and ks."""
    faults, seen = [], dict[tuple[str, int], str]()
    for i, entry in enumerate(config.grid):
        models = [m for m in config.models if entry.models is None or m.name in entry.models]
        widths = [entry.width_for(model.d_model) for model in models]
        faults += [
            f"grid.{i}.ks.{j}: {k} active latents of {min(widths)}: give fewer"
            for j, k in enumerate(entry.ks or [])
            if widths and k > min(widths)
        ]
        field = "lambdas" if entry.ks is None else "ks"
        for width in widths:
            if seen.setdefault((entry.variant, width), field) != field:
                faults.append(
                    f"grid.{i}.{field}: {entry.variant} of {width} latents has "
                    f"{seen[entry.variant, width]} in another block, and a sweep has one of both"
                )
                break
    return faults


def _twice(path: str, values: list[str]) -> list[str]:
    return [
        f"{path.format(i)}: {value!r} is listed twice"
        for i, value in enumerate(values)
        if value in values[:i]
    ]


def _cell_faults(config: c.StudyConfig) -> list[str]:
    """Cells given twice, or more of them than a plan holds."""
    count = sum(prod(len(axis) for axis in axes_of(entry, config)) for entry in config.grid)
    if count > MOST_CELLS:
        return [f"grid: {count:,} cells, and {MOST_CELLS:,} at most: divide the study"]
    faults = []
    seen: dict[Cell, int] = {}
    for i, entry in enumerate(config.grid):
        for cell in cells_of(entry, config):
            if cell in seen:
                faults.append(f"grid.{i}: cell {cell.path} is already given by grid.{seen[cell]}")
            seen.setdefault(cell, i)
    return faults


def _long_settings(config: c.StudyConfig) -> list[str]:
    """Settings that no command holds; a stage is given those of one model or of the text."""
    parts: dict[str, Any] = {f"models.{i}": model for i, model in enumerate(config.models)}
    shared = config.model_dump(include={"hookpoints", "dump", "training", "evaluation"})
    faults = []
    for path, part in (parts | {"text": config.text}).items():
        size = len(quote(json.dumps([part.model_dump(), shared])))
        if size > COMMAND_BYTES:
            faults.append(
                f"{path}: with what every stage needs it takes {size:,} bytes of a command line "
                f"that has {COMMAND_BYTES:,} for it: shorten it"
            )
    return faults
