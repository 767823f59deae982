"""How a cell is trained: the ``training`` section, and the recipes that change some of it."""

from __future__ import annotations

from collections.abc import Mapping
from operator import not_
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, field_serializer, model_validator

from pipeline.config.sections import (
    Count,
    FieldFaults,
    Name,
    Natural,
    Number,
    Positive,
    Section,
    Variant,
    Words,
)
from pipeline.config.spelling import NAME_LENGTH

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


class Training(Section):
    """How a cell is trained. Lengths are optimiser steps unless a name says tokens."""

    tokens: Count
    """Token-steps per cell: rows seen, counted with repetition over epochs."""
    batch_size: Count = 2048
    """Tokens per step."""
    learning_rate: Positive = 1e-3
    """Peak learning rate of Adam."""
    beta1: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Decay of the mean of the gradients."""
    beta2: Annotated[Number, Field(ge=0, lt=1)] = 0.999
    """Decay of the mean of the squared gradients."""
    lr_warmup_steps: Natural = 50
    """Steps over which the learning rate rises linearly from zero."""
    lr_decay_fraction: Annotated[Number, Field(ge=0, le=1)] = 0.2
    """Share of the steps, at the end, over which the learning rate falls linearly to zero."""
    lambda_warmup_steps: Natural = 100
    """Steps over which lambda rises linearly from zero."""
    theta_init: Annotated[Number, Field(ge=0)] = 1.2
    """Initial threshold of sign-aware gates, in units of the spread of the encoder's products at
    the start: sqrt((1 - |mean|^2) / d)."""
    reset_window_tokens: Natural = 0
    """A latent silent for this many tokens is reset, in every variant; 0 switches resets off."""
    b_dec_init: Literal["mean", "zero"] = Field(default="mean", exclude_if="mean".__eq__)
    """Where the decoder's bias starts: at the mean of the training activations, or at zero as in
    SAELens and dictionary_learning."""
    gate_init: Literal["zero", "matched"] = Field(default="zero", exclude_if="zero".__eq__)
    """Where the gate's bias of Gated starts: at zero (arXiv 2404.16014), or matched to sign-aware
    gates, at minus their initial threshold. Of other variants it changes nothing."""
    clip_gradient_norm: Annotated[Number, Field(ge=0)] = Field(default=0.0, exclude_if=not_)
    """Largest norm of all gradients of a step together, at unit mean square activations; longer
    ones are scaled down. 0: no limit; SAELens has 1. The fastest step on a CPU never forms the
    gradients, so with a limit another one is taken."""
    decoder_norm: Literal["unit", "free"] = Field(default="unit", exclude_if="unit".__eq__)
    """Norm of the decoder's rows. unit: kept at 1 after each step; free, as in SAELens: not kept.
    The penalty then weighs each latent by the norm of its row, and at the end the norms are folded
    into the encoder."""
    decoder_init_norm: Positive = Field(default=1.0, exclude_if=(1.0).__eq__)
    """Norm of the rows of decoder and encoder at the start; SAELens has 0.1. Needs ``decoder_norm:
    free``."""
    auxiliary_decoder: Literal["frozen", "trained"] = Field(
        default="frozen", exclude_if="frozen".__eq__
    )
    """The decoder of the auxiliary term. frozen: not trained by it (arXiv 2404.16014); trained: as
    in SAELens."""
    matmul_dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """Matrix products; auto: bfloat16 where the hardware has it. Master weights are float32."""
    group_chunks: Count = 16
    """Chunks of different blocks that are shuffled together."""

    @model_validator(mode="after")
    def _consistent(self) -> Training:
        faults = []
        if self.steps < 1:
            message = f"{self.tokens} is less than one batch of {self.batch_size}"
            faults.append(("tokens", message))
        if self.decoder_norm == "unit" and self.decoder_init_norm != 1:
            faults.append(("decoder_init_norm", "give 1, or decoder_norm: free"))
        if faults:
            raise FieldFaults(faults)
        return self

    @property
    def steps(self) -> int:
        return self.tokens // self.batch_size


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

    @field_serializer("training")
    def _as_given(self, value: TrainingChanges) -> dict[str, Any]:
        return value.given

    @property
    def parent(self) -> str:
        """The recipe that is extended; the default one as an empty text."""
        return "" if self.extends == DEFAULT_RECIPE else self.extends

    def concerns(self, variant: str) -> bool:
        """Whether cells of a variant are trained under it."""
        return self.variants is None or variant in self.variants


Recipes = Mapping[str, Recipe]
MAY_CHANGE = f"a recipe changes settings of training alone: {', '.join(Training.model_fields)}"
"""What is said of any other setting."""


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
    above = changes(recipes, recipes[name].parent, variant)
    return above | recipes[name].training.given if recipes[name].concerns(variant) else above
