"""Recipes: what each changes of section ``training``, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import not_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from pipeline.study.sections import NAME_LENGTH, ONCE, Name, Section, Variant, faults_of
from pipeline.study.training import DEFAULT_RECIPE, Changes, Training, for_variant
from sagsae.training.recipe import SETTINGS, uses

if TYPE_CHECKING:
    from pipeline.study.study_config import StudyConfig

# Names of what tables of effects set beside the factors of recipes: the widths of a comparison,
# and its two variants.
WIDTH_FACTOR, VARIANT_FACTOR = "width", "variant"


def _not_taken(name: str) -> str:
    if name in (WIDTH_FACTOR, VARIANT_FACTOR):
        raise ValueError(f"tables call something else {name!r}; name the factor otherwise")
    return name


FactorName = Annotated[
    str,
    Field(pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=NAME_LENGTH),
    AfterValidator(_not_taken),
]


class Recipe(Section):
    """Another way to train the same cells."""

    note: str = ""
    """What it is, for readers of the report."""
    extends: Name = DEFAULT_RECIPE
    """The recipe whose settings it changes; ``default`` is section training."""
    variants: Annotated[list[Variant], Field(min_length=1), *ONCE] | None = None
    """The variants that it concerns; all when absent. Of any other variant, the cells under this
    recipe are those of the recipe that it extends: they are trained once."""
    factors: dict[FactorName, str] = Field(default_factory=dict)
    """Factor -> the level that this recipe has of it, for tables and figures. A setting that some
    recipe changes is a factor by itself, and its value the level."""
    training: Changes = Field(default_factory=dict)
    """The settings that differ: those of section training, and no others."""
    by_variant: dict[Variant, Changes] = Field(default_factory=dict, exclude_if=not_)
    """Variant -> settings that it alone has under this recipe, over those of ``training``. So one
    recipe may train each variant as its own paper does."""

    @property
    def parent(self) -> str:
        """The recipe that is extended; the default one as an empty text."""
        return "" if self.extends == DEFAULT_RECIPE else self.extends

    def concerns(self, variant: str) -> bool:
        """Whether cells of a variant are trained under it."""
        return self.variants is None or variant in self.variants


Recipes = Mapping[str, Recipe]


def home(recipes: Recipes, name: str, variant: str) -> str:
    """The recipe whose cells of a variant stand under the recipe ``name``, itself or one above.

    The default recipe is the empty text. No recipe may extend itself.
    """
    while name and not recipes[name].concerns(variant):
        name = recipes[name].parent
    return name


def changes(recipes: Recipes, name: str, variant: str) -> dict[str, Any]:
    """How the training of a variant under a recipe differs from section training."""
    if not name:
        return {}
    above, recipe = changes(recipes, recipes[name].parent, variant), recipes[name]
    if not recipe.concerns(variant):
        return above
    return above | recipe.training | recipe.by_variant.get(variant, {})


# Level of a setting that a recipe gives to some variants alone.
BY_VARIANT = "by variant"


def training_of(config: StudyConfig, recipe: str, variant: str) -> Training:
    """Settings under which a recipe trains a variant; what means nothing for it has its default.

    Raises:
        ValidationError: the recipe's changes do not fit what they change.
    """
    changed = changes(config.recipes, recipe, variant)
    found = config.training
    if changed:
        found = Training.model_validate(dict(config.training) | changed)
    return for_variant(found, variant)


def levels_of(config: StudyConfig) -> dict[str, dict[str, str]]:
    """Recipe -> factor -> its level there, the default recipe, the empty text, first.

    A setting that some recipe changes is a factor, and its value the level. What a recipe names
    under ``factors`` adds to that, or stands in its place. Recipes that extend it have it too. One
    that it gives to some variants alone has the level "by variant".
    """
    changed = {name for recipe in config.recipes.values() for name in _given(recipe)}
    base = {name: _level(value) for name, value in config.training if name in changed}
    found = {"": base}
    for name in config.recipes:
        levels = base
        for above in reversed([name, *_above(config, name)[:-1]]):
            recipe = config.recipes[above]
            levels = levels | _given(recipe) | recipe.factors
        found[name] = levels
    return found


def _given(recipe: Recipe) -> dict[str, str]:
    """The levels that a recipe's own settings have."""
    own = {name for each in recipe.by_variant.values() for name in each}
    given = {setting: _level(value) for setting, value in recipe.training.items()}
    return given | dict.fromkeys(sorted(own), BY_VARIANT)


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
    faults += _idle_faults(config)
    rooted = [name for name in config.recipes if _above(config, name)[-1] == ""]
    sound = [name for name in rooted if name != DEFAULT_RECIPE]
    return faults + list(_training_faults(config, sound))


def _above(config: StudyConfig, name: str) -> list[str]:
    """The recipes that a recipe extends, directly or not, as far as they are known."""
    found: list[str] = []
    while name in config.recipes and (name := config.recipes[name].parent) not in found:
        found.append(name)
    return found


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


def _idle_faults(config: StudyConfig) -> Iterator[str]:
    """Settings that mean nothing for any variant that they could concern."""
    grid = list(dict.fromkeys(entry.variant for entry in config.grid))
    other = [
        name
        for name, field in Training.model_fields.items()
        if name in SETTINGS and getattr(config.training, name) != field.get_default()
    ]  # a configuration that is written out has every setting
    yield from _idle("training", other, grid)
    for name, recipe in config.recipes.items():
        concerned = recipe.variants or grid
        yield from _idle(f"recipes.{name}.training", recipe.training, concerned)
        for variant, changed in recipe.by_variant.items():
            path = f"recipes.{name}.by_variant.{variant}"
            if not recipe.concerns(variant):
                yield f"{path}: the recipe does not concern it: add it to variants"
            yield from _idle(path, changed, [variant])


def _idle(path: str, given: Iterable[str], variants: Sequence[str]) -> Iterator[str]:
    for setting in sorted(given):
        if not any(uses(variant, setting) for variant in variants):
            yield f"{path}.{setting}: means nothing for {', '.join(variants)}; leave it out"


def _training_faults(config: StudyConfig, names: list[str]) -> Iterator[str]:
    """Recipes that cannot be trained by."""
    grid = {entry.variant for entry in config.grid}
    for name in names:
        recipe = config.recipes[name]
        variants = {*filter(recipe.concerns, grid), *(recipe.variants or []), *recipe.by_variant}
        faults: dict[str, None] = {}
        for variant in sorted(variants):
            try:
                training_of(config, name, variant)
            except ValidationError as error:
                faults |= dict.fromkeys(faults_of(error))
        yield from (f"recipes.{name}.training.{fault}" for fault in faults)
