"""What is wrong with a configuration beyond single sections, and with names of cells."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.study.cell import Cell
from pipeline.study.grid import cells_of
from pipeline.study.models import place_names
from pipeline.study.places import ARROW
from pipeline.study.probe import SOURCE
from pipeline.study.recipes import home, training_of
from pipeline.study.sections import ELSEWHERE, LARGEST_WIDTH, CellNameError, Section, faults_of
from pipeline.study.sources import text_files
from pipeline.study.study_config import LOOKS, NO_TEXT, StudyConfig
from pipeline.study.training import DEFAULT_RECIPE, Training
from sagsae.autoencoders.registry import VARIANTS, K, knobs
from sagsae.training.recipe import SETTINGS, uses

Faults = Iterator[str]
RELATIVE = "relative paths are of the folder in which you run"


class _FaultyError(Exception):
    """A check reads a section that has faults of its own."""


class _Sound:
    """The sections of a configuration that have no fault of their own."""

    def __init__(self, config: StudyConfig, names: set[str]):
        self._config, self._names = config, names

    def __getattr__(self, name: str) -> Any:
        if name not in self._names:
            raise _FaultyError(name)
        return getattr(self._config, name)


def cross_faults(config: StudyConfig, sound: set[str], *, plan: bool) -> list[str]:
    """Faults that concern more than one section, each with its path.

    Args:
        config: As much of a configuration as is sound.
        sound: The sections without a fault of their own; checks that read others are left out.
        plan: True if the study runs here: local text and models must be there.
    """
    checks = (
        *(_hookpoint_faults, _language_faults, _name_faults, _block_faults, _row_faults),
        *(_recipe_faults, _grid_recipe_faults, _idle_faults, _training_faults, _dial_faults),
        *(_look_faults, _probe_faults, _browser_faults, _foreign_faults, _comparison_faults),
        *((_text_faults, *OF_THIS_MACHINE) if plan else (_text_faults,)),
    )
    faults: list[str] = []
    for check in checks:
        try:
            faults += check(_Sound(config, sound))
        except _FaultyError:
            continue
    if not faults and sound >= StudyConfig.model_fields.keys():
        faults += _cell_faults(config)
    return faults


def _hookpoint_faults(config: Any) -> Faults:
    for i, model in enumerate(config.models):
        known = list(model.known_hookpoints)
        for name in dict.fromkeys(name for both in config.hookpoints for name in both.split(ARROW)):
            if name not in known:
                yield (
                    f"models.{i}.hookpoints: no module path for hookpoint {name!r}; known are "
                    f"{', '.join(known)}"
                )


def _language_faults(config: Any) -> Faults:
    drawn = [model.name for model in config.models if model.drawn]
    if config.text == NO_TEXT and len(drawn) < len(config.models):
        yield "text: missing: say where the documents come from"
    asked = [name for name in ("dial", "probe", "replaced", "browser") if getattr(config, name)]
    asked += [f"models.{i}.like" for i, model in enumerate(config.models) if model.like in drawn]
    if drawn and asked:
        yield f"{', '.join(asked)}: {', '.join(drawn)} is no language model; leave out"


def _name_faults(config: Any) -> Faults:
    names = [model.name for model in config.models]
    for i, name in enumerate(names):
        if name in names[:i]:
            yield f"models.{i}.name: {name!r} is listed twice"


def _unknown_names(config: Any, section: Section, path: str) -> Faults:
    """Models, hookpoints and recipes that a section names and the study does not have."""
    places = place_names(config.models, config.hookpoints)
    names = {
        "models": [model.name for model in config.models],
        "hookpoints": list(dict.fromkeys([*config.hookpoints, *places])),
        "recipes": list(dict.fromkeys([DEFAULT_RECIPE, *config.recipes])),
    }
    for field, known in names.items():
        for j, value in enumerate(getattr(section, field) or []):
            if value not in known:
                yield f"{path}.{field}.{j}: unknown {value!r}; known are {', '.join(known)}"


def _block_faults(config: Any) -> Faults:
    nulls = {model.name for model in config.models if model.like}
    for i, entry in enumerate(config.grid):
        unknown = list(_unknown_names(config, entry, f"grid.{i}"))
        yield from unknown
        cells = cells_of(entry, config.models, config.hookpoints)
        if not cells and not unknown:
            yield f"grid.{i}.hookpoints: none of the block's models has such a layer"
        if any(cell.model in nulls and cell.place.target for cell in cells):
            yield (
                f"grid.{i}: of a null, rows that transcoders read and predict are drawn apart; "
                "restrict models or hookpoints of the block"
            )
        width = min((cell.width for cell in cells), default=LARGEST_WIDTH)
        for j, k in enumerate(entry.ks or []):
            if k > width:
                yield f"grid.{i}.ks.{j}: {k} active latents of {width}: give fewer"


def _comparison_faults(config: Any) -> Faults:
    """Sides of comparisons that no cell has."""
    cells = {
        (cell.variant, cell.model, cell.width)
        for entry in config.grid
        for cell in cells_of(entry, config.models, config.hookpoints)
    }
    for i, item in enumerate(config.comparisons):
        for name, side in (("candidate", item.candidate), ("baseline", item.baseline)):
            asked = {(side.variant, m.name, side.width_for(m.d_model)) for m in config.models}
            if cells.isdisjoint(asked):
                yield (
                    f"comparisons.{i}.{name}: no cell of the grid is {side.variant} of this width; "
                    f"the grid has {_widths(config, side.variant)}"
                )


def _widths(config: Any, variant: str) -> str:
    """The widths that a variant has on the grid, in words."""
    entries = [entry for entry in config.grid if entry.variant == variant]
    words = (
        f"width {e.width}" if e.expansion is None else f"expansion {e.expansion:g}" for e in entries
    )
    return f"it with {', '.join(dict.fromkeys(words))}" if entries else "none of this variant"


def _text_faults(config: Any) -> Faults:
    """Files of text that are listed twice: a document in both splits is no held-out text."""
    seen = dict[str, str]()
    for path, source in config.text.by_path.items():
        for i, name in enumerate(source.paths if source.kind == "files" else []):
            place = f"{path}.paths.{i}"
            for file in map(os.path.realpath, text_files([name])):
                if file in seen:
                    yield f"{place}: {file} is listed by {seen[file]} already"
                seen.setdefault(file, place)


def _foreign_faults(config: Any) -> Faults:
    """Blocks whose autoencoders were trained elsewhere."""
    for i, entry in enumerate(config.grid):
        elsewhere = ELSEWHERE.fullmatch(entry.variant)
        if elsewhere and entry.source is None:
            yield f"grid.{i}.source: say where {entry.variant!r} comes from"
        if entry.source is None:
            continue
        if not elsewhere:
            yield (
                f"grid.{i}.variant: {entry.variant!r} is trained here; name what comes from "
                "elsewhere foreign-..., in small letters, digits and -"
            )
        if entry.recipes is not None:
            yield f"grid.{i}.recipes: what was trained elsewhere has none"
        if len(cells := cells_of(entry, config.models, config.hookpoints)) != 1:
            yield (
                f"grid.{i}.source: is one cell, and the block has {len(cells)}: give it one of "
                "models, hookpoints, lambdas and seeds"
            )
        if any(cell.place.target for cell in cells):
            yield f"grid.{i}.source: transcoders of other libraries cannot be measured here"


def _row_faults(config: Any) -> Faults:
    """Numbers of rows to train on that the store does not give."""
    given = {"training": config.training.unique_rows}
    for name, recipe in config.recipes.items():
        changed = {"training": recipe.training}
        changed |= {f"by_variant.{name}": values for name, values in recipe.by_variant.items()}
        for path, values in changed.items():
            given[f"recipes.{name}.{path}"] = values.get("unique_rows", 0)
    block, stored = config.dump.rows_per_block, config.dump.train_rows
    for path, rows in given.items():
        if rows % block or rows > stored:
            yield (
                f"{path}.unique_rows: {rows}: give whole blocks of {block} rows, "
                f"{stored - stored % block} rows at most, which is what dump.train_rows stores"
            )


def _look_faults(config: Any) -> Faults:
    for name in LOOKS:
        section = getattr(config, name)
        if section is not None:
            yield from _unknown_names(config, section, name)


def _dial_faults(config: Any) -> Faults:
    dial, comparisons = config.dial, config.comparisons
    if dial is None:
        return
    if dial.contexts > (most := config.evaluation.lr_contexts):
        yield (
            f"dial.contexts: {dial.contexts} are more than evaluation.lr_contexts, which is "
            f"{most}: lower it, or raise that"
        )
    if dial.latents and not comparisons:
        yield (
            "comparisons: empty, and section dial steers with the two sides of the first one: list "
            "it, or leave dial out"
        )
    elif dial.latents and dial.comparisons > len(comparisons):
        yield (
            f"dial.comparisons: {dial.comparisons}, and comparisons has {len(comparisons)}: lower "
            "it, or list more"
        )


def _probe_faults(config: Any) -> Faults:
    if config.probe and config.probe.labels == [SOURCE] and len(config.text.sources) < 2:
        yield (
            "probe.labels: source alone, and the text has one source: add another kind of label, "
            "or sources to section text"
        )


def _browser_faults(config: Any) -> Faults:
    section = config.browser
    if section is None:
        return
    for j, name in enumerate(section.cells or []):
        try:
            check_known(Cell.from_path(name), config)
        except CellNameError as error:
            yield f"browser.cells.{j}: {error}"
    if not section.cells and not config.comparisons:
        yield (
            "browser: it shows the two sides of the first comparison, and comparisons is empty: "
            "list one, or name cells under browser.cells"
        )


def _recipe_faults(config: Any) -> Faults:
    known = list(dict.fromkeys([DEFAULT_RECIPE, *config.recipes]))
    for name, recipe in config.recipes.items():
        if name == DEFAULT_RECIPE:
            yield f"recipes.{name}: the recipe of section training has this name; choose another"
        if recipe.extends not in known:
            others = ", ".join(other for other in known if other != name)
            yield f"recipes.{name}.extends: unknown {recipe.extends!r}; known are {others}"
        elif name in _above(config, name):
            yield f"recipes.{name}.extends: in the end it extends itself"


def _above(config: Any, name: str) -> list[str]:
    """The recipes that a recipe extends, directly or not, as far as they are known."""
    above: list[str] = []
    while name in config.recipes and (name := config.recipes[name].parent) not in above:
        above.append(name)
    return above


def _grid_recipe_faults(config: Any) -> Faults:
    """Recipes of blocks that do not concern the block's variant."""
    for i, entry in enumerate(config.grid):
        for j, name in enumerate(entry.recipes or []):
            recipe = config.recipes.get(name)
            if recipe and not recipe.concerns(entry.variant):
                yield (
                    f"grid.{i}.recipes.{j}: {name!r} does not concern {entry.variant}, whose cells "
                    f"under it are those of {recipe.extends!r}; name that one"
                )


def _idle_faults(config: Any) -> Faults:
    """Settings that mean nothing for any variant that they could concern."""
    grid = list(dict.fromkeys(entry.variant for entry in config.grid))
    changed = [
        name
        for name, field in Training.model_fields.items()
        if name in SETTINGS and getattr(config.training, name) != field.get_default()
    ]  # a configuration that is written out has every setting
    yield from _idle("training", changed, grid)
    for name, recipe in config.recipes.items():
        yield from _idle(f"recipes.{name}.training", recipe.training, recipe.variants or grid)
        for variant, values in recipe.by_variant.items():
            path = f"recipes.{name}.by_variant.{variant}"
            if not recipe.concerns(variant):
                yield f"{path}: the recipe does not concern it: add it to variants"
            yield from _idle(path, values, [variant])


def _idle(path: str, given: Iterable[str], variants: list[str]) -> Faults:
    for setting in sorted(given):
        if not any(uses(variant, setting) for variant in variants):
            yield f"{path}.{setting}: means nothing for {', '.join(variants)}; leave it out"


def _training_faults(config: Any) -> Faults:
    """Recipes that cannot be trained by."""
    grid = {entry.variant for entry in config.grid}
    for name, recipe in config.recipes.items():
        if name == DEFAULT_RECIPE or _above(config, name)[-1] != "":
            continue
        variants = {*filter(recipe.concerns, grid), *(recipe.variants or []), *recipe.by_variant}
        faults: dict[str, None] = {}
        for variant in sorted(variants):
            try:
                training_of(config.training, config.recipes, name, variant)
            except ValidationError as error:
                faults |= dict.fromkeys(faults_of(error))
        yield from (f"recipes.{name}.training.{fault}" for fault in faults)


def _cell_faults(config: StudyConfig) -> Faults:
    """Cells given twice, and autoencoders with a skip."""
    seen: dict[Cell, int] = {}
    for i, entry in enumerate(config.grid):
        cells = cells_of(entry, config.models, config.hookpoints)
        at = {cell.recipe: cell for cell in cells if not cell.place.target}
        for recipe, cell in at.items():
            if training_of(config.training, config.recipes, recipe, entry.variant).skip:
                yield (
                    f"grid.{i}: {cell.path} is an autoencoder, which has no skip; restrict its "
                    "recipes or hookpoints"
                )
        for cell in cells:
            if cell in seen:
                yield f"grid.{i}: cell {cell.path} is already given by grid.{seen[cell]}"
            seen.setdefault(cell, i)


def _absent_models(config: Any) -> Faults:
    for i, model in enumerate(config.models):
        if model.source.kind == "path" and not Path(model.source.path).exists():
            yield f"models.{i}.source.path: {model.source.path} is not there; {RELATIVE}"


def _layer_faults(config: Any) -> Faults:
    """Layers that a model does not have whose own configuration is at hand."""
    for i, model in enumerate(config.models):
        known: Any = {}
        if model.source.kind == "random":
            known = model.source.parameters
        elif (
            model.source.kind == "path"
            and (file := Path(model.source.path, "config.json")).exists()
        ):
            known = json.loads(file.read_text())
        count = known.get("text_config", known).get("num_hidden_layers")
        if isinstance(count, int) and (
            beyond := [layer for layer in model.depths if layer >= count]
        ):
            field = "layers" if model.layers else "layer"
            yield f"models.{i}.{field}: {beyond[0]}: the model has layers 0 to {count - 1}"


def _absent_text(config: Any) -> Faults:
    for path, source in config.text.by_path.items():
        for i, name in enumerate(source.paths if source.kind == "files" else []):
            if not all(map(Path.is_file, text_files([name]))):
                yield f"{path}.paths.{i}: no file of text at {name}; {RELATIVE}"


# What a study that runs here needs beside a sound configuration.
OF_THIS_MACHINE = (_absent_models, _layer_faults, _absent_text)


def missing_here(config: StudyConfig) -> list[str]:
    """Local models and text of a sound configuration that are not on this machine, with paths."""
    return [fault for check in OF_THIS_MACHINE for fault in check(config)]


def check_known(cell: Cell, config: Any) -> None:
    """Check a cell, which need not be on the grid, against a configuration.

    Raises:
        CellNameError: part of its name is unknown here, or k or recipe do not fit its variant.
    """
    models = {model.name: model for model in config.models}
    own = place_names([models[cell.model]] if cell.model in models else [], config.hookpoints)
    known = {
        "model": list(models),
        "hookpoint": own,
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
