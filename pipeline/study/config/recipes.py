"""How a cell is trained: the ``training`` section, and the recipes that change some of it."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Mapping
from itertools import pairwise
from operator import not_
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    create_model,
    field_serializer,
    model_validator,
)

from pipeline.study.config.sections import (
    LARGEST,
    Count,
    FieldFaults,
    Name,
    Natural,
    Number,
    Section,
    Variant,
    Words,
)
from pipeline.study.config.spelling import NAME_LENGTH
from sagsae import schedules
from sagsae.schedules import SETTINGS, setting_faults, uses

DEFAULT_RECIPE = "default"
"""Name of section ``training`` wherever recipes are named. Names of cells leave it out."""
WIDTH_FACTOR, VARIANT_FACTOR = "width", "variant"
"""Names of what tables of effects set beside the factors of recipes: the widths of a comparison,
and its two variants."""


def _not_taken(name: str) -> str:
    if name in (WIDTH_FACTOR, VARIANT_FACTOR):
        raise ValueError(f"tables call something else {name!r}; name the factor otherwise")
    return name


FactorName = Annotated[
    str,
    Field(pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=NAME_LENGTH),
    AfterValidator(_not_taken),
]


def _texts(of: type) -> dict[str, str]:
    """The text under each field of a class."""
    (body,) = (node.body for node in ast.parse(inspect.getsource(of)).body if hasattr(node, "body"))
    return {
        field.target.id: inspect.cleandoc(str(text.value.value))
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


def _field(name: str, doc: str) -> tuple[Any, Any]:
    """Type and field of a setting of the library."""
    known = SETTINGS[name]
    limits: dict[str, Any] = known.limits
    kinds: dict[type, Any] = {
        int: Annotated[int, Field(**{"le": LARGEST} | limits)],
        float: Annotated[Number, Field(**limits)],
        str: Literal[known.choices],
        tuple: list[Annotated[Number, Field(gt=0, le=1)]],
    }
    default: Any = DEFAULTS.get(name, known.default)
    default = list(default) if known.kind is tuple else default
    rest: dict[str, Any] = {} if known.always else {"exclude_if": default.__eq__}
    return kinds[known.kind], Field(default=default, description=doc, **rest)


DEFAULTS = {
    "batch_size": 2048,
    "learning_rate": 1e-3,
    "lr_warmup_steps": 50,
    "lambda_warmup_steps": 100,
}
"""Where they are not those of the library."""


class _Length(Section):
    tokens: Count
    """Token-steps per cell: rows seen, counted with repetition over epochs."""


OF_A_CELL = ("steps", "lam", "k")
"""Settings of the library that a cell and ``tokens`` give."""
_FIELDS: Any = {
    name: _field(name, doc)
    for name, doc in _texts(schedules.Recipe).items()
    if name not in OF_A_CELL
}
_Settings: Any = create_model("_Settings", __base__=_Length, **_FIELDS)


class Training(_Settings):
    """How a cell is trained. Lengths are optimiser steps unless a name says tokens."""

    lr_reference_width: Natural = Field(default=0, exclude_if=not_)
    """Where it is above zero, ``learning_rate`` is that at this many latents, and at H latents it
    is multiplied by the square root of this over H (arXiv 2406.04093). 0: the same at any width."""
    group_chunks: Count = 16
    """Chunks of different blocks that are shuffled together."""

    @model_validator(mode="after")
    def _consistent(self) -> Training:
        faults = setting_faults(self)
        if self.steps < 1:
            message = f"{self.tokens} is less than one batch of {self.batch_size}"
            faults.insert(0, ("tokens", message))
        if faults:
            raise FieldFaults(faults)
        return self

    @property
    def steps(self) -> int:
        return self.tokens // self.batch_size

    def learning_rate_at(self, width: int) -> float:
        """Peak learning rate of a dictionary of H = ``width`` latents."""
        reference = self.lr_reference_width
        return (
            self.learning_rate * math.sqrt(reference / width) if reference else (self.learning_rate)
        )


def for_variant(training: Training, variant: str) -> Training:
    """The settings with their defaults where they mean nothing for the variant: no cell is then
    trained again because such a one was changed."""
    idle = {
        name: field.get_default()
        for name, field in Training.model_fields.items()
        if not uses(variant, name)
    }
    return training.model_copy(update=idle)


def _without_defaults(schema: dict[str, Any]) -> None:
    """What is not given stays as in the recipe that is extended."""
    for field in schema["properties"].values():
        field.pop("default", None)


class TrainingChanges(Training):
    """Settings of training that a recipe changes; all others stay."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    tokens: Count = 1
    """Token-steps per cell: rows seen, counted with repetition over epochs."""

    @model_validator(mode="after")
    def _consistent(self) -> TrainingChanges:
        return self  # the whole recipe is checked where it is known

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are changed, in the order of section training."""
        return {name: value for name, value in self if name in self.model_fields_set}


class Recipe(Section):
    """Another way to train the same cells."""

    note: Words = ""
    """What it is, for readers of the report."""
    extends: Name = DEFAULT_RECIPE
    """The recipe whose settings it changes; ``default`` is section training."""
    variants: Annotated[list[Variant], Field(min_length=1)] | None = None
    """The variants that it concerns; all when absent. Of any other variant, the cells under this
    recipe are those of the recipe that it extends: they are trained once."""
    factors: dict[FactorName, Words] = Field(default_factory=dict)
    """Factor -> the level that this recipe has of it, for tables and figures. A setting that some
    recipe changes is a factor by itself, and its value the level."""
    training: TrainingChanges = TrainingChanges()
    """The settings that differ: those of section training, and no others."""
    by_variant: dict[Variant, TrainingChanges] = Field(default_factory=dict, exclude_if=not_)
    """Variant -> settings that it alone has under this recipe, over those of ``training``. So one
    recipe may train each variant as its own paper does."""

    @field_serializer("training")
    def _as_given(self, value: TrainingChanges) -> dict[str, Any]:
        return value.given

    @field_serializer("by_variant")
    def _each_as_given(self, value: dict[str, TrainingChanges]) -> dict[str, dict[str, Any]]:
        return {variant: changed.given for variant, changed in value.items()}

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
    own = recipe.by_variant.get(variant)
    return above | recipe.training.given | (own.given if own else {})
