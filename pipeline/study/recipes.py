"""The recipes of a configuration: what each trains by, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from pydantic import ValidationError

from pipeline.config.recipes import DEFAULT_RECIPE, Training, changes
from pipeline.config.study_config import StudyConfig
from pipeline.config.yaml_files import faults_of


def training_of(config: StudyConfig, recipe: str, variant: str) -> Training:
    """Settings under which a recipe trains a variant.

    Raises:
        ValidationError: the recipe's changes do not fit what they change.
    """
    changed = changes(config.recipes, recipe, variant)
    return Training.model_validate(dict(config.training) | changed) if changed else config.training


def levels_of(config: StudyConfig) -> dict[str, dict[str, str]]:
    """Recipe -> factor -> its level there, the default recipe, the empty text, first.

    A setting that some recipe changes is a factor, and its value the level. What a recipe names
    under ``factors`` adds to that, or stands in its place. Recipes that extend it have it too.
    """
    changed = {name for recipe in config.recipes.values() for name in recipe.training.given}
    base = {name: _level(value) for name, value in config.training if name in changed}
    found = {"": base}
    for name in config.recipes:
        levels = base
        for above in reversed([name, *_above(config, name)[:-1]]):
            recipe = config.recipes[above]
            given = {setting: _level(value) for setting, value in recipe.training.given.items()}
            levels = levels | given | recipe.factors
        found[name] = levels
    return found


def _level(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def recipe_faults(config: StudyConfig) -> list[str]:
    """Faults of the recipes and of where the grid names them, each with its path."""
    known = list(dict.fromkeys([DEFAULT_RECIPE, *config.recipes]))
    faults = [
        f"recipes.{name}: the recipe of section training has this name; choose another"
        for name in config.recipes
        if name == DEFAULT_RECIPE
    ]
    for name, recipe in config.recipes.items():
        if recipe.extends not in known:
            some = ", ".join(other for other in known if other != name)
            faults.append(f"recipes.{name}.extends: unknown {recipe.extends!r}; known are {some}")
        elif name in _above(config, name):
            faults.append(f"recipes.{name}.extends: in the end it extends itself")
    faults += _grid_faults(config, known)
    sound = [name for name in config.recipes if name != DEFAULT_RECIPE and _is_rooted(config, name)]
    return faults + list(_training_faults(config, sound))


def _above(config: StudyConfig, name: str) -> list[str]:
    """The recipes that a recipe extends, directly or not, as far as they are known."""
    found: list[str] = []
    while name in config.recipes and (name := config.recipes[name].parent) not in found:
        found.append(name)
    return found


def _is_rooted(config: StudyConfig, name: str) -> bool:
    return _above(config, name)[-1] == ""


def _grid_faults(config: StudyConfig, known: list[str]) -> Iterator[str]:
    for i, entry in enumerate(config.grid):
        for j, name in enumerate(entry.recipes or []):
            path, recipe = f"grid.{i}.recipes.{j}", config.recipes.get(name)
            if name not in known:
                yield f"{path}: unknown {name!r}; known are {', '.join(known)}"
            elif recipe and not recipe.concerns(entry.variant):
                yield (
                    f"{path}: {name!r} does not concern {entry.variant}, whose cells under it are "
                    f"those of {recipe.extends!r}; name that one"
                )


def _training_faults(config: StudyConfig, names: list[str]) -> Iterator[str]:
    """Recipes that cannot be trained by, and each that trains some variant as another does."""
    mentioned = [variant for name in names for variant in config.recipes[name].variants or []]
    variants = list(dict.fromkeys([*(entry.variant for entry in config.grid), *mentioned]))
    trained: dict[str, dict[str, dict[str, Any]]] = {
        "": {v: dict(config.training) for v in variants}
    }
    for name in names:
        concerned = [v for v in variants if config.recipes[name].concerns(v)]
        try:
            trained[name] = {v: dict(training_of(config, name, v)) for v in concerned}
        except ValidationError as error:
            yield from (f"recipes.{name}.training.{fault}" for fault in faults_of(error))
    for (earlier, of_earlier), (name, of_name) in combinations(trained.items(), 2):
        if same := [v for v in of_name if of_earlier.get(v) == of_name[v]]:
            yield (
                f"recipes.{name}: trains {', '.join(same)} as {earlier or DEFAULT_RECIPE!r} does; "
                "change a setting, or leave one of the two out"
            )
