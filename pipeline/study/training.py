"""Section ``training`` of a configuration: how a cell is trained."""

from __future__ import annotations

import math
from operator import not_
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, create_model, model_validator

from pipeline.jobs.command_line import texts_of
from pipeline.study.sections import LARGEST, Count, FieldFaults, Natural, Number, Section, faults_of
from sagsae.training.recipe import SETTINGS, Recipe, Setting, setting_faults, uses

# Name of section ``training`` wherever recipes are named. Names of cells leave it out.
DEFAULT_RECIPE = "default"


_TEXTS = texts_of(Recipe)


def _field(name: str, known: Setting, text: str) -> tuple[Any, Any]:
    """Type and field of a setting of the library."""
    limits: dict[str, Any] = known.limits
    kinds: dict[type, Any] = {
        int: Annotated[int, Field(**{"le": LARGEST} | limits)],
        float: Annotated[Number, Field(**limits)],
        bool: Annotated[bool, Field(strict=True)],
        str: Literal[known.choices],
        tuple: list[Annotated[Number, Field(gt=0, le=1)]],
    }
    default: Any = DEFAULTS.get(name, known.default)
    default = list(default) if known.kind is tuple else default
    rest: dict[str, Any] = {} if known.always else {"exclude_if": default.__eq__}
    return kinds[known.kind], Field(default=default, description=text, **rest)


# Where they are not those of the library.
DEFAULTS = {
    "batch_size": 2048,
    "learning_rate": 1e-3,
    "lr_warmup_steps": 50,
    "lambda_warmup_steps": 100,
}


class _Length(Section):
    tokens: Count
    """Token-steps per cell: rows seen, counted with repetition over epochs."""


# Settings of the library that a cell and ``tokens`` give.
OF_A_CELL = ("steps", "lam", "k")

_FIELDS: Any = {
    name: _field(name, known, _TEXTS.get(name, ""))
    for name, known in SETTINGS.items()
    if name not in OF_A_CELL
}

_Settings: Any = create_model("_Settings", __base__=_Length, **_FIELDS)


class Training(_Settings):
    """How a cell is trained. Lengths are optimiser steps unless a name says tokens."""

    lr_reference_width: Natural = Field(default=0, exclude_if=not_)
    """Where it is above zero, ``learning_rate`` is that at this many latents, and at H latents it
    is multiplied by the square root of this over H (arXiv 2406.04093). 0: the same at any width."""
    unique_rows: Natural = Field(default=0, exclude_if=not_)
    """Rows of the store that are trained on, the first ones, as if it had no more: mean and scale
    are theirs, too. Whole blocks; 0: all of them."""

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
        rate: float = self.learning_rate * (math.sqrt(reference / width) if reference else 1.0)
        return rate


def for_variant(training: Training, variant: str) -> Training:
    """The settings with their defaults where they mean nothing for the variant: no cell is then
    trained again because such a one was changed."""
    idle = {
        name: field.get_default()
        for name, field in Training.model_fields.items()
        if not uses(variant, name)
    }
    return training.model_copy(update=idle)


class _Changes(Training):
    """For the check of each setting alone; the whole recipe is checked where it is known."""

    tokens: Count = 1

    @model_validator(mode="after")
    def _consistent(self) -> _Changes:
        return self


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    try:
        found = _Changes.model_validate(given)
    except ValidationError as error:
        faults = (fault.partition(": ") for fault in faults_of(error))
        raise FieldFaults([(field, message) for field, _, message in faults]) from None
    return {name: value for name, value in found if name in given}


# Settings of section training that a recipe changes; all others stay.
Changes = Annotated[
    dict[str, Any],
    AfterValidator(_checked),
    Field(json_schema_extra={"propertyNames": {"enum": sorted(Training.model_fields)}}),
]
