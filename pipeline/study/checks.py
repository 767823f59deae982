"""What is wrong with a configuration beyond single sections, and with names of cells."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path

from pipeline.study.cell import Cell
from pipeline.study.dial import dial_faults
from pipeline.study.grid import axes_of, cells_of
from pipeline.study.looks import unknown_names
from pipeline.study.probe import probe_faults
from pipeline.study.recipes import home, recipe_faults
from pipeline.study.sections import ELSEWHERE, LARGEST_WIDTH, CellNameError
from pipeline.study.signs import signs_faults
from pipeline.study.study_config import StudyConfig, text_sources
from pipeline.study.training import DEFAULT_RECIPE
from sagsae.autoencoders.registry import VARIANTS, K, knobs

# Those of a model that names none of its own.
STANDARD_HOOKPOINTS = ("mlp_out", "attn", "resid")


def cross_faults(config: StudyConfig, sound: set[str]) -> list[str]:
    """Faults that concern more than one section, each with its path.

    Args:
        config: As much of a configuration as is sound.
        sound: The sections without a fault of their own; checks that read others are left out.
    """
    faults = [fault for check, read in CHECKS.items() if sound >= read for fault in check(config)]
    return faults or (_cell_faults(config) if sound >= StudyConfig.model_fields.keys() else [])


def _hookpoint_faults(config: StudyConfig) -> list[str]:
    return [
        f"models.{i}.hookpoints: no module path for hookpoint {name!r}; known are "
        f"{', '.join(model.hookpoints or STANDARD_HOOKPOINTS)}"
        for i, model in enumerate(config.models)
        for name in config.hookpoints
        if name not in (model.hookpoints or STANDARD_HOOKPOINTS)
    ]


def _name_faults(config: StudyConfig) -> list[str]:
    names = [model.name for model in config.models]
    return [
        f"models.{i}.name: {name!r} is listed twice"
        for i, name in enumerate(names)
        if name in names[:i]
    ]


def _block_faults(config: StudyConfig) -> list[str]:
    faults = []
    for i, entry in enumerate(config.grid):
        faults += unknown_names(config, entry, f"grid.{i}", ("models", "hookpoints"))
        widths = [entry.width_for(model.d_model) for model in config.models]
        faults += [
            f"grid.{i}.ks.{j}: {k} active latents of {min(widths)}: give fewer"
            for j, k in enumerate(entry.ks or [])
            if k > min(widths)
        ]
    return faults


def _comparison_faults(config: StudyConfig) -> list[str]:
    """Sides of comparisons that no cell has."""
    cells = {
        (entry.variant, model.name, entry.width_for(model.d_model))
        for entry in config.grid
        for model in axes_of(entry, config)[0]
    }
    return [
        f"comparisons.{i}.{name}: no cell of the grid is {side.variant} of this width; the grid "
        f"has {_widths(config, side.variant)}"
        for i, item in enumerate(config.comparisons)
        for name, side in (("candidate", item.candidate), ("baseline", item.baseline))
        if cells.isdisjoint(
            (side.variant, m.name, side.width_for(m.d_model)) for m in config.models
        )
    ]


def _widths(config: StudyConfig, variant: str) -> str:
    """The widths that a variant has on the grid, in words."""
    entries = [entry for entry in config.grid if entry.variant == variant]
    words = (
        f"width {e.width}" if e.expansion is None else f"expansion {e.expansion:g}" for e in entries
    )
    return f"it with {', '.join(dict.fromkeys(words))}" if entries else "none of this variant"


def _text_faults(config: StudyConfig) -> list[str]:
    """Files of text that are listed twice: a document in both splits is no held-out text."""
    faults, seen = [], dict[str, str]()
    for path, source in text_sources(config.text).items():
        for i, name in enumerate(source.paths if source.kind == "files" else []):
            place, file = f"{path}.paths.{i}", os.path.realpath(name)
            if file in seen:
                faults.append(f"{place}: {name} is listed by {seen[file]} already")
            seen.setdefault(file, place)
    return faults


def _foreign_faults(config: StudyConfig) -> list[str]:
    """Faults of the blocks whose autoencoders were trained elsewhere."""
    faults = []
    for i, entry in enumerate(config.grid):
        elsewhere = ELSEWHERE.fullmatch(entry.variant)
        if elsewhere and entry.source is None:
            faults.append(f"grid.{i}.source: say where {entry.variant!r} comes from")
        if entry.source is None:
            continue
        if not elsewhere:
            faults.append(
                f"grid.{i}.variant: {entry.variant!r} is trained here; name what comes from "
                "elsewhere foreign-..., in small letters, digits and -"
            )
        if entry.recipes is not None:
            faults.append(f"grid.{i}.recipes: what was trained elsewhere has none")
        if (count := prod(len(axis) for axis in axes_of(entry, config))) != 1:
            faults.append(
                f"grid.{i}.source: is one cell, and the block has {count}: give it one of models, "
                "hookpoints, lambdas and seeds"
            )
    return faults


def _row_faults(config: StudyConfig) -> list[str]:
    """Numbers of rows to train on that the store does not give."""
    given = {"training": config.training.unique_rows}
    for name, recipe in config.recipes.items():
        changes = {"training": recipe.training} | {
            f"by_variant.{variant}": own for variant, own in recipe.by_variant.items()
        }
        for path, own in changes.items():
            given[f"recipes.{name}.{path}"] = own.get("unique_rows", 0)
    block, stored = config.dump.rows_per_block, config.dump.train_rows
    return [
        f"{path}.unique_rows: {rows}: give whole blocks of {block} rows, {stored - stored % block} "
        "rows at most, which is what dump.train_rows stores"
        for path, rows in given.items()
        if rows % block or rows > stored
    ]


def _browser_faults(config: StudyConfig) -> list[str]:
    section = config.browser
    if section is None:
        return []
    faults = unknown_names(config, section, "browser")
    for j, name in enumerate(section.cells or []):
        try:
            Cell.from_path(name)
        except CellNameError as error:
            faults.append(f"browser.cells.{j}: {error}")
    if not section.cells and not config.comparisons:
        faults.append(
            "browser: it shows the two sides of the first comparison, and comparisons is empty: "
            "list one, or name cells under browser.cells"
        )
    return faults


PLACES = {"models", "hookpoints"}
# Checks, and the sections that each reads.
CHECKS: dict[Callable[[StudyConfig], list[str]], set[str]] = {
    _hookpoint_faults: PLACES,
    _name_faults: PLACES,
    _block_faults: PLACES | {"grid", "recipes"},
    _row_faults: {"dump", "recipes", "training"},
    recipe_faults: {"grid", "recipes", "training"},
    dial_faults: PLACES | {"recipes", "dial", "evaluation", "comparisons"},
    probe_faults: PLACES | {"recipes", "probe", "text"},
    signs_faults: PLACES | {"recipes", "signs"},
    _browser_faults: PLACES | {"recipes", "browser", "comparisons"},
    _foreign_faults: PLACES | {"grid"},
    _comparison_faults: PLACES | {"grid", "recipes", "comparisons"},
    _text_faults: {"text"},
}


def _cell_faults(config: StudyConfig) -> list[str]:
    """Cells given twice."""
    faults = []
    seen: dict[Cell, int] = {}
    for i, entry in enumerate(config.grid):
        for cell in cells_of(entry, config):
            if cell in seen:
                faults.append(f"grid.{i}: cell {cell.path} is already given by grid.{seen[cell]}")
            seen.setdefault(cell, i)
    return faults


def absent_files(config: StudyConfig, sound: set[str]) -> list[str]:
    """Local text and models that are not there, each with its path."""
    models = config.models if "models" in sound else []
    wanted = {
        f"models.{i}.source.path": model.source.path
        for i, model in enumerate(models)
        if model.source.kind == "path"
    }
    sources = text_sources(config.text) if "text" in sound else {}
    for path, source in sources.items():
        if source.kind == "files":
            wanted |= {f"{path}.paths.{i}": name for i, name in enumerate(source.paths)}
    return [
        f"{place}: {path} is not there; relative paths are of the folder in which you run"
        for place, path in wanted.items()
        if not Path(path).exists()
    ]


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
    if cell.width > LARGEST_WIDTH:
        raise CellNameError(f"{cell.path}: a dictionary has {LARGEST_WIDTH:,} latents at most")
    if cell.k is not None and cell.k > cell.width:
        raise CellNameError(f"{cell.path}: {cell.k} active latents of {cell.width}: ask for fewer")
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
