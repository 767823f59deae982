"""The recipe of a training run: its settings, and what moves during it. Free of torch."""

from __future__ import annotations

import math
import operator
from dataclasses import MISSING, dataclass, field, fields
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from sagsae.autoencoders.registry import (
    GATED,
    JUMPRELU,
    LAMBDA,
    MATRYOSHKA,
    RELU,
    TOPK,
    VARIANTS,
    K,
    knobs,
)

# Share of the learning rate at which a cosine warm-up starts (arXiv 2407.14435).
COSINE_START = 0.1
# Ends of the nested groups of a Matryoshka SAE as shares of the width (arXiv 2503.17547).
LEVELS = (1 / 32, 3 / 32, 7 / 32, 15 / 32, 1.0)
UNGATED, K_SPARSE = (RELU, TOPK, JUMPRELU, MATRYOSHKA), (TOPK, MATRYOSHKA)
_LIMITS = {
    "gt": (operator.gt, "above"),
    "ge": (operator.ge, "at least"),
    "lt": (operator.lt, "below"),
    "le": (operator.le, "at most"),
}


def setting(default: Any = MISSING, *families: str, always: bool = False, **limits: float) -> Any:
    """A field of `Recipe`, see `Setting`; without a default it must be given."""
    known = {"families": families, "always": always, "limits": limits}
    return field(default=default, metadata=known)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything a training run needs besides the data and the autoencoder. Lengths in steps.

    Attributes:
        steps: Optimiser steps.
        lam: Sparsity coefficient lambda, of activations as ``input_norm`` scales them; 0 beside
            ``k``.
        k: Active latents per token of a k-sparse variant; 0 for a variant with a lambda.
        batch_size: Tokens per step, B.
        learning_rate: Peak learning rate of Adam.
        beta1: Decay of the mean of the gradients.
        beta2: Decay of the mean of the squared gradients.
        lr_warmup_steps: Steps over which the learning rate rises linearly from zero.
        lr_decay_fraction: Share of the steps, at the end, over which the learning rate falls
            linearly to zero.
        lambda_warmup_steps: Steps over which lambda rises linearly from zero.
        theta_init: Initial threshold of sign-aware gates, in units of the spread of the encoder's
            products at the start: sqrt((1 - |mean|^2) / d).
        reset_window_tokens: A latent silent for this many tokens is reset, in every variant with a
            gate; 0 switches resets off. Other variants have AuxK, or nothing.
        b_dec_init: Where the decoder's bias starts: at the mean of the training activations; at
            zero as in SAELens and dictionary_learning; or at the geometric median of their first
            32,768 rows (arXiv 2406.04093).
        gate_init: Where the gate's bias of Gated starts: at zero (arXiv 2404.16014), or matched to
            sign-aware gates, at minus their initial threshold. Of other variants it changes
            nothing.
        clip_gradient_norm: Largest norm of all gradients of a step together, at unit mean square
            activations; longer ones are scaled down. 0: no limit; SAELens has 1. The fastest step
            on a CPU never forms the gradients, so with a limit another one is taken.
        decoder_norm: Norm of the decoder's rows. unit: kept at 1 after each step; free, as in
            SAELens: not kept. The penalty then weighs each latent by the norm of its row, and at
            the end the norms are folded into the encoder. Of gates, relu and absrelu; those of all
            others are kept at 1.
        decoder_init_norm: Norm of the rows of decoder and encoder at the start; SAELens has 0.1.
            Needs ``decoder_norm: free``.
        auxiliary_decoder: The decoder of the auxiliary term. frozen: not trained by it (arXiv
            2404.16014); trained: as in SAELens.
        skip: Of a transcoder: a matrix of what is read is added to the prediction. It starts at the
            best linear map.
        decoder: frozen: the decoder's rows stay as they were drawn, and all else is trained: a null
            that a claim about trained dictionaries must beat (arXiv 2602.14111).
        lr_warmup_shape: How the learning rate rises: linearly from zero, or along a cosine from a
            tenth of it (arXiv 2407.14435).
        adam_epsilon: What Adam adds to the root of the mean of the squared gradients.
        weight_average: Decay of a moving average of all parameters, which the finished run has in
            their place; 0: none. arXiv 2406.04093 has 0.999. The average is corrected for its
            start.
        input_norm: Scale of the activations. unit: their mean square norm is 1; sqrt_d: it is d, as
            in Anthropic's updates and SAELens. Lambdas, thresholds and bandwidths are in these
            units.
        encoder_input: What the encoder reads: the activations less ``b_dec``, or as they are. Of
            variants without a gate.
        k_warmup_steps: Steps over which k falls linearly from d, or H if that is less. Of k-sparse
            variants.
        auxk_coefficient: Weight of the AuxK term, by which dead latents learn (arXiv 2406.04093),
            relative to the share of the variance that is not explained; 0: none. Of k-sparse
            variants.
        auxk_latents: Dead latents per token in that term; 0: the power of two nearest d / 2.
        dead_window_tokens: A latent silent for this many tokens is dead in that term. The paper has
            10 million, which short trainings do not reach.
        threshold_init: Where the thresholds of jumprelu, absjumprelu and absrelu start.
        bandwidth: Width of the kernel that estimates the gradient of JumpReLU's thresholds.
        threshold_parameter: What is trained of JumpReLU's thresholds: themselves, or their
            logarithms as in arXiv 2407.14435. Adam moves a logarithm by at most the learning rate a
            step, so that a short training hardly moves the threshold.
        matryoshka_levels: Ends of the nested groups of Matryoshka variants, as shares of the width;
            ascending, the last is 1.
        level_reduction: The errors of the groups are added (arXiv 2503.17547) or averaged. What
            differs under Adam is how much AuxK weighs.
        matmul_dtype: Matrix products; auto: bfloat16 where the hardware has it. Master weights are
            float32.

    Raises:
        ValueError: a value out of its range, a word that is no choice, a norm to start from where
            norms are not free, the logarithm of a zero threshold, both lambda and k, or levels that
            do not ascend to 1. The message names the settings.
    """

    steps: int = setting(always=True, gt=0)
    lam: float = setting(always=True, ge=0)
    k: int = setting(0, ge=0)
    batch_size: int = setting(always=True, gt=0)
    learning_rate: float = setting(always=True, gt=0)
    beta1: float = setting(0.0, always=True, ge=0, lt=1)
    beta2: float = setting(0.999, always=True, ge=0, lt=1)
    lr_warmup_steps: int = setting(0, always=True, ge=0)
    lr_decay_fraction: float = setting(0.2, always=True, ge=0, le=1)
    lambda_warmup_steps: int = setting(0, GATED, RELU, JUMPRELU, always=True, ge=0)
    theta_init: float = setting(1.2, GATED, always=True, ge=0)
    reset_window_tokens: int = setting(0, GATED, always=True, ge=0)
    b_dec_init: Literal["mean", "zero", "median"] = setting("mean")
    gate_init: Literal["zero", "matched"] = setting("zero", GATED)
    clip_gradient_norm: float = setting(0.0, ge=0)
    decoder_norm: Literal["unit", "free"] = setting("unit", GATED, RELU)
    decoder_init_norm: float = setting(1.0, GATED, RELU, gt=0)
    auxiliary_decoder: Literal["frozen", "trained"] = setting("frozen", GATED)
    decoder: Literal["trained", "frozen"] = setting("trained")
    skip: bool = setting(False)
    lr_warmup_shape: Literal["linear", "cosine"] = setting("linear")
    adam_epsilon: float = setting(1e-8, gt=0)
    weight_average: float = setting(0.0, ge=0, lt=1)
    input_norm: Literal["unit", "sqrt_d"] = setting("unit")
    encoder_input: Literal["centred", "plain"] = setting("centred", *UNGATED)
    k_warmup_steps: int = setting(0, *K_SPARSE, ge=0)
    auxk_coefficient: float = setting(1 / 32, *K_SPARSE, ge=0)
    auxk_latents: int = setting(0, *K_SPARSE, ge=0)
    dead_window_tokens: int = setting(1_000_000, *K_SPARSE, gt=0)
    threshold_init: float = setting(0.001, RELU, JUMPRELU, ge=0)
    bandwidth: float = setting(0.001, JUMPRELU, gt=0)
    threshold_parameter: Literal["raw", "log"] = setting("raw", JUMPRELU)
    matryoshka_levels: tuple[float, ...] = setting(LEVELS, MATRYOSHKA)
    level_reduction: Literal["sum", "mean"] = setting("sum", MATRYOSHKA)
    matmul_dtype: Literal["auto", "bfloat16", "float32"] = setting("auto", always=True)

    def __post_init__(self) -> None:
        faults = []
        for name, known in SETTINGS.items():
            try:
                object.__setattr__(self, name, known.coerced(getattr(self, name)))
            except ValueError as error:
                faults.append((name, str(error)))
        faults = faults or setting_faults(self)
        if self.k and self.lam:
            faults.append(("k", "a variant has lam or k: give one of them"))
        if faults:
            raise ValueError("; ".join(f"{name}: {fault}" for name, fault in faults))

    def check_variant(self, variant: str) -> None:
        """Check that the recipe is one for a variant; a class of a user's own may use any.

        Raises:
            ValueError: a lambda for a variant that takes k, or the reverse; or a setting of other
                families that is not at its default.
        """
        if (K if self.k else LAMBDA) not in (allowed := knobs(variant)):
            raise ValueError(f"{variant} takes {allowed[0]}: give train(..., {allowed[0]}=...)")
        given = (name for name, known in SETTINGS.items() if getattr(self, name) != known.default)
        if idle := [name for name in given if not uses(variant, name)]:
            raise ValueError(f"{', '.join(idle)}: means nothing for {variant}; leave it out")

    def described(self) -> dict[str, Any]:
        """The fields by name, as files of weights have them.

        A field that earlier versions had not is left out at its default, so that the files of one
        training stay the same.
        """
        values = {name: getattr(self, name) for name in SETTINGS}
        return {
            name: value
            for name, value in values.items()
            if SETTINGS[name].always or value != SETTINGS[name].default
        }

    def lr_at(self, step: int) -> float:
        """Learning rate of step 0 .. steps-1: warm-up, constant, linear decay."""
        risen = min(1.0, (step + 1) / (self.lr_warmup_steps + 1))
        if self.lr_warmup_shape == "cosine":
            risen = COSINE_START + (1 - COSINE_START) * (1 - math.cos(math.pi * risen)) / 2
        decay_steps = self.lr_decay_fraction * self.steps
        left = (self.steps - step) / decay_steps if decay_steps > 0 else 1.0
        return self.learning_rate * min(risen, left)

    def lambda_at(self, step: int) -> float:
        """Sparsity coefficient of a step: zero at step 0 of a warm-up, lam from its end on."""
        if self.lambda_warmup_steps == 0:
            return self.lam
        return self.lam * min(1.0, step / self.lambda_warmup_steps)

    def k_at(self, step: int, first: int) -> int:
        """Active latents per token at a step: ``first`` at the start of a warm-up, k after it."""
        if step >= self.k_warmup_steps:
            return self.k
        rest = 1 - step / self.k_warmup_steps
        return self.k + round(rest * max(0, first - self.k))

    def knob_at(self, step: int, first: int) -> float:
        """What sets the sparsity at a step: lambda, or k, which starts at ``first``."""
        return self.k_at(step, first) if self.k else self.lambda_at(step)


class Setting(NamedTuple):
    """A field of `Recipe`, from which a configuration makes one of its own.

    Attributes:
        kind: int, float, str or tuple.
        choices: Words that it takes; empty where it is no word.
        default: MISSING where a value is always given.
        families: Of the variants that it concerns; all of them where none is named.
        always: Whether files of weights have it at its default too; those that later versions
            added are left out, so that the files of one training stay the same.
        limits: Of its values: gt, ge, lt and le, as pydantic calls them.
    """

    kind: type
    choices: tuple[str, ...]
    default: Any
    families: tuple[str, ...]
    always: bool
    limits: dict[str, float]

    def coerced(self, value: Any) -> Any:
        """A value as Python's own type, which JSON knows: numbers may be NumPy's.

        Raises:
            ValueError: it is no such value, or out of the range.
        """
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"{value!r}: choose {' or '.join(self.choices)}")
            return value
        if self.kind is bool:
            if not isinstance(value, bool):
                raise ValueError(f"{value!r}: choose true or false")
            return value
        if self.kind is tuple:
            return tuple(map(float, value))
        kind = Integral if self.kind is int else Real
        is_number = isinstance(value, kind) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise ValueError(f"{value!r} is no {'whole ' if self.kind is int else ''}number")
        if any(not _LIMITS[name][0](value, limit) for name, limit in self.limits.items()):
            shown = (f"{_LIMITS[name][1]} {limit:g}" for name, limit in self.limits.items())
            raise ValueError(f"{value!r}: give a value {' and '.join(shown)}")
        return value if type(value) in (int, float) else self.kind(value)


def _settings() -> dict[str, Setting]:
    hints, settings = get_type_hints(Recipe), {}
    for each in fields(Recipe):
        hint = hints[each.name]
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        kind = str if choices else get_origin(hint) or hint
        settings[each.name] = Setting(kind, choices, each.default, **each.metadata)
    return settings


# By name, in order.
SETTINGS = _settings()


def uses(variant: str, name: str) -> bool:
    """Whether a setting means anything for a variant. A class of a user's own may use any."""
    if name not in SETTINGS or variant not in VARIANTS:
        return True
    families = SETTINGS[name].families
    return not families or VARIANTS[variant].family in families


def setting_faults(given: Any) -> list[tuple[str, str]]:
    """What does not go together, each with the setting that is to change.

    Args:
        given: A `Recipe`, or what has the attributes of one.
    """
    faults = []
    if given.decoder_norm == "unit" and given.decoder_init_norm != 1:
        faults.append(("decoder_init_norm", "give 1, or decoder_norm: free"))
    if given.decoder == "frozen" and given.decoder_norm == "free":
        faults.append(("decoder", "the norms of frozen rows are 1: leave decoder_norm out"))
    levels = given.matryoshka_levels
    ascending = all(one < other for one, other in pairwise((0.0, *levels)))
    if not levels or not ascending or levels[-1] != 1:
        faults.append(("matryoshka_levels", f"{list(levels)} must ascend from above 0 to 1"))
    if given.threshold_parameter == "log" and not given.threshold_init:
        faults.append(("threshold_init", "zero has no logarithm: give a small one"))
    return faults


# For initial weights without a run: they do not depend on the four settings without a default.
DEFAULTS = Recipe(steps=1, lam=0.0, batch_size=1, learning_rate=1.0)
