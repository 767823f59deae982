"""The grid: its cells, and the faults of a configuration that concern more than one section."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import prod
from pathlib import Path
from shlex import quote
from typing import Any

from pipeline.study.blocks import axes_of, cells_of
from pipeline.study.browser_faults import browser_faults
from pipeline.study.cell import Cell
from pipeline.study.config import study_config as c
from pipeline.study.dials import dial_faults
from pipeline.study.foreign import foreign_faults
from pipeline.study.probes import probe_faults
from pipeline.study.recipes import recipe_faults
from pipeline.study.restrictions import unknown_names

COMMAND_BYTES = 120_000
"""What settings may take of one argument of a command; Linux ends it at 131,072."""
MOST_CELLS = 50_000
"""Snakemake plans some 1,000 a second and keeps them all in memory."""
STANDARD_HOOKPOINTS = ("mlp_out", "attn", "resid")
"""Those of a model that names none of its own."""
RESERVED_MODEL = "text"
"""Its folder among the assets is that of the documents."""


def cross_faults(raw: Any, config: c.StudyConfig, sound: set[str]) -> list[str]:
    """Faults that concern more than one section, each with its path.

    Args:
        raw: What was given, which need not be valid.
        config: As much of it as is sound.
        sound: The sections without a fault of their own; checks of others are left out.
    """
    faults = _hookpoint_faults(raw)
    faults += [fault for read, check in CHECKS if sound >= read for fault in check(config)]
    whole = not faults and sound == set(c.StudyConfig.model_fields)
    return _cell_faults(config) + _long_settings(config) if whole else faults


def _hookpoint_faults(raw: Any) -> list[str]:
    """Hookpoints that a model lacks. Most configurations begin with a wrong one, so this looks at
    what was given, whatever else is wrong."""
    given = raw if isinstance(raw, dict) else {}
    models, hookpoints = given.get("models"), given.get("hookpoints")
    if not isinstance(models, list) or not isinstance(hookpoints, list):
        return []
    faults = []
    for i, model in enumerate(models):
        own = model.get("hookpoints") if isinstance(model, dict) else None
        known = own if own and isinstance(own, dict) else STANDARD_HOOKPOINTS
        faults += [
            f"models.{i}.hookpoints: no module path for hookpoint {name!r}; known are "
            f"{', '.join(map(str, known))}"
            for name in hookpoints
            if isinstance(name, str) and name not in known
        ]
    return faults


def _name_faults(config: c.StudyConfig) -> list[str]:
    names = [model.name for model in config.models]
    faults = [
        f"models.{i}.name: {name!r} names the folder of the text; choose another"
        for i, name in enumerate(names)
        if name == RESERVED_MODEL
    ]
    return faults + _twice("models.{}.name", names) + _twice("hookpoints.{}", config.hookpoints)


def _block_faults(config: c.StudyConfig) -> list[str]:
    return [
        fault
        for i, entry in enumerate(config.grid)
        for fault in unknown_names(config, entry, f"grid.{i}", ("models", "hookpoints"))
    ]


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


PLACES = {"models", "hookpoints"}
CHECKS: list[tuple[set[str], Callable[[c.StudyConfig], list[str]]]] = [
    (PLACES, _name_faults),
    (PLACES | {"grid", "recipes"}, _block_faults),
    ({"grid", "recipes", "training"}, recipe_faults),
    (PLACES | {"recipes", "dial", "evaluation", "comparisons"}, dial_faults),
    (PLACES | {"recipes", "probe", "text"}, probe_faults),
    (PLACES | {"recipes", "browser", "comparisons"}, browser_faults),
    (PLACES | {"grid"}, foreign_faults),
    ({"models", "grid"}, _knob_faults),
]
"""What each check reads."""


def absent_files(config: c.StudyConfig, sound: set[str]) -> list[str]:
    """Local text and models that are not there, each with its path."""
    models = config.models if "models" in sound else []
    wanted = {
        f"models.{i}.source.path": model.source.path
        for i, model in enumerate(models)
        if model.source.kind == "path"
    }
    sources = c.text_sources(config.text) if "text" in sound else {}
    for path, source in sources.items():
        if source.kind == "files":
            wanted |= {f"{path}.paths.{i}": name for i, name in enumerate(source.paths)}
    return [
        f"{place}: {path} is not there; relative paths are of the folder in which you run"
        for place, path in wanted.items()
        if not Path(path).exists()
    ]
