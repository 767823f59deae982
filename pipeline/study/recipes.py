"""Recipes: what each changes of section ``training``."""

from __future__ import annotations

from collections.abc import Mapping
from operator import not_
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pipeline.study.sections import NAME_LENGTH, ONCE, Name, Section, Variant
from pipeline.study.training import DEFAULT_RECIPE, Changes, Training, for_variant

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


def training_of(training: Training, recipes: Recipes, name: str, variant: str) -> Training:
    """Settings under which a recipe trains a variant; what means nothing for it has its default.

    Raises:
        ValidationError: the recipe's changes do not fit what they change.
    """
    if changed := changes(recipes, name, variant):
        training = Training.model_validate(dict(training) | changed)
    return for_variant(training, variant)


# Level of a setting that a recipe gives to some variants alone.
BY_VARIANT = "by variant"


def levels_of(training: Training, recipes: Recipes) -> dict[str, dict[str, str]]:
    """Recipe -> factor -> its level there, the default recipe, the empty text, first.

    A setting that some recipe changes is a factor, and its value the level. What a recipe names
    under ``factors`` adds to that, or stands in its place. Recipes that extend it have it too. One
    that it gives to some variants alone has the level "by variant".
    """
    changed = {name for recipe in recipes.values() for name in _given(recipe)}
    levels = {"": {name: _level(value) for name, value in training if name in changed}}

    def levels_under(name: str) -> dict[str, str]:
        if name not in levels:
            recipe = recipes[name]
            levels[name] = levels_under(recipe.parent) | _given(recipe) | recipe.factors
        return levels[name]

    return {name: levels_under(name) for name in ("", *recipes)}


def _given(recipe: Recipe) -> dict[str, str]:
    """The levels that a recipe's own settings have."""
    by_variant = {name for settings in recipe.by_variant.values() for name in settings}
    given = {setting: _level(value) for setting, value in recipe.training.items()}
    return given | dict.fromkeys(sorted(by_variant), BY_VARIANT)


def _level(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
