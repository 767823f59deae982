"""How a cell is trained: the ``training`` section, and the recipes that change some of it."""

from __future__ import annotations

import math
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
from sagsae.autoencoders.registry import GATED, JUMPRELU, MATRYOSHKA, RELU, TOPK, VARIANTS
from sagsae.schedules import LEVELS, levels_fault

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
    """A latent silent for this many tokens is reset, in every variant with a gate; 0 switches
    resets off. Other variants have AuxK, or nothing."""
    b_dec_init: Literal["mean", "zero", "median"] = Field(default="mean", exclude_if="mean".__eq__)
    """Where the decoder's bias starts: at the mean of the training activations; at zero as in
    SAELens and dictionary_learning; or at the geometric median of their first 32,768 rows (arXiv
    2406.04093)."""
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
    into the encoder. Of gates, relu and absrelu; those of all others are kept at 1."""
    decoder_init_norm: Positive = Field(default=1.0, exclude_if=(1.0).__eq__)
    """Norm of the rows of decoder and encoder at the start; SAELens has 0.1. Needs ``decoder_norm:
    free``."""
    auxiliary_decoder: Literal["frozen", "trained"] = Field(
        default="frozen", exclude_if="frozen".__eq__
    )
    """The decoder of the auxiliary term. frozen: not trained by it (arXiv 2404.16014); trained: as
    in SAELens."""
    lr_warmup_shape: Literal["linear", "cosine"] = Field(
        default="linear", exclude_if="linear".__eq__
    )
    """How the learning rate rises: linearly from zero, or along a cosine from a tenth of it (arXiv
    2407.14435)."""
    lr_reference_width: Natural = Field(default=0, exclude_if=not_)
    """Where it is above zero, ``learning_rate`` is that at this many latents, and at H latents it
    is multiplied by the square root of this over H (arXiv 2406.04093). 0: the same at any width."""
    adam_epsilon: Positive = Field(default=1e-8, exclude_if=(1e-8).__eq__)
    """What Adam adds to the root of the mean of the squared gradients."""
    weight_average: Annotated[Number, Field(ge=0, lt=1)] = Field(default=0.0, exclude_if=not_)
    """Decay of a moving average of all parameters, which the finished cell has in their place;
    0: none. arXiv 2406.04093 has 0.999."""
    input_norm: Literal["unit", "sqrt_d"] = Field(default="unit", exclude_if="unit".__eq__)
    """Scale of the activations. unit: their mean square norm is 1; sqrt_d: it is d, as in
    Anthropic's updates and SAELens. Lambdas, thresholds and bandwidths are in these units."""
    encoder_input: Literal["centred", "plain"] = Field(
        default="centred", exclude_if="centred".__eq__
    )
    """What the encoder reads: the activations less ``b_dec``, or as they are. Of variants without a
    gate."""
    k_warmup_steps: Natural = Field(default=0, exclude_if=not_)
    """Steps over which k falls linearly from d, or H if that is less. Of k-sparse variants."""
    auxk_coefficient: Annotated[Number, Field(ge=0)] = Field(
        default=1 / 32, exclude_if=(1 / 32).__eq__
    )
    """Weight of the AuxK term, by which dead latents learn (arXiv 2406.04093), relative to the
    share of the variance that is not explained; 0: none. Of k-sparse variants."""
    auxk_latents: Natural = Field(default=0, exclude_if=not_)
    """Dead latents per token in that term; 0: the power of two nearest d / 2."""
    dead_window_tokens: Count = Field(default=1_000_000, exclude_if=(1_000_000).__eq__)
    """A latent silent for this many tokens is dead in that term. The paper has 10 million, which
    short trainings do not reach."""
    threshold_init: Annotated[Number, Field(ge=0)] = Field(default=0.001, exclude_if=(0.001).__eq__)
    """Where the thresholds of jumprelu, absjumprelu and absrelu start."""
    bandwidth: Positive = Field(default=0.001, exclude_if=(0.001).__eq__)
    """Width of the kernel that estimates the gradient of JumpReLU's thresholds."""
    threshold_parameter: Literal["raw", "log"] = Field(default="raw", exclude_if="raw".__eq__)
    """What is trained of JumpReLU's thresholds: themselves, or their logarithms as in arXiv
    2407.14435. Adam moves a logarithm by at most the learning rate a step, so that a short training
    hardly moves the threshold."""
    matryoshka_levels: list[Annotated[Number, Field(gt=0, le=1)]] = Field(
        default=list(LEVELS), exclude_if=list(LEVELS).__eq__
    )
    """Ends of the nested groups of Matryoshka variants, as shares of the width; ascending, the last
    is 1."""
    level_reduction: Literal["sum", "mean"] = Field(default="sum", exclude_if="sum".__eq__)
    """The errors of the groups are added (arXiv 2503.17547) or averaged. What differs under Adam is
    how much AuxK weighs."""
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
        if fault := levels_fault(self.matryoshka_levels):
            faults.append(("matryoshka_levels", fault))
        if self.threshold_parameter == "log" and not self.threshold_init:
            faults.append(("threshold_init", "zero has no logarithm: give a small one"))
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


K_SPARSE = (TOPK, MATRYOSHKA)
OF_FAMILIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("theta_init", "gate_init"), (GATED,)),
    **dict.fromkeys(("reset_window_tokens", "auxiliary_decoder"), (GATED,)),
    "lambda_warmup_steps": (GATED, RELU, JUMPRELU),
    **dict.fromkeys(("decoder_norm", "decoder_init_norm"), (GATED, RELU)),
    "encoder_input": (*K_SPARSE, RELU, JUMPRELU),
    **dict.fromkeys(("k_warmup_steps", "auxk_coefficient", "auxk_latents"), K_SPARSE),
    "dead_window_tokens": K_SPARSE,
    "threshold_init": (RELU, JUMPRELU),
    **dict.fromkeys(("bandwidth", "threshold_parameter"), (JUMPRELU,)),
    **dict.fromkeys(("matryoshka_levels", "level_reduction"), (MATRYOSHKA,)),
}
"""Setting -> the families of variants that it concerns; all others concern every variant."""


def uses(variant: str, setting: str) -> bool:
    """Whether a setting means anything for a variant. A class of a user's own may use any."""
    families = OF_FAMILIES.get(setting)
    return families is None or variant not in VARIANTS or VARIANTS[variant].family in families


def for_variant(training: Training, variant: str) -> Training:
    """The settings with their defaults where they mean nothing for the variant: no cell is then
    trained again because such a one was changed."""
    idle = {
        name: Training.model_fields[name].get_default()
        for name in OF_FAMILIES
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
