"""The recipe of a training run and what moves during it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

LATER = {"since": "files of earlier versions lack it"}
CHOICES = {
    "b_dec_init": ("mean", "zero", "median"),
    "gate_init": ("zero", "matched"),
    "decoder_norm": ("unit", "free"),
    "auxiliary_decoder": ("frozen", "trained"),
    "lr_warmup_shape": ("linear", "cosine"),
    "encoder_input": ("centred", "plain"),
    "input_norm": ("unit", "sqrt_d"),
    "threshold_parameter": ("raw", "log"),
    "level_reduction": ("sum", "mean"),
}
COSINE_START = 0.1
"""Share of the learning rate at which a cosine warm-up starts (arXiv 2407.14435)."""
LEVELS = (1 / 32, 3 / 32, 7 / 32, 15 / 32, 1.0)
"""Ends of the nested groups of a Matryoshka SAE as shares of the width (arXiv 2503.17547)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything a training run needs besides the data and the autoencoder. Lengths in steps.

    Attributes:
        steps: Optimiser steps.
        batch_size: Tokens a step, B.
        lam: Sparsity coefficient lambda at unit mean square activations; 0 where ``k`` is given.
        k: Active latents per token of a k-sparse variant; 0 for a variant with a lambda.
        learning_rate: Peak learning rate of Adam(beta1, beta2).
        lr_warmup_steps: Linear rise from zero.
        lr_decay_fraction: Share of the steps, at the end, of the linear fall to zero.
        lambda_warmup_steps: Linear rise of lambda from zero.
        theta_init: Initial gate threshold, see ``Autoencoder.initialise``.
        reset_window_tokens: Silence after which a latent is reset; 0 for never.
        matmul_dtype: "auto", "bfloat16" or "float32".
        b_dec_init: Where the decoder's bias starts: "mean" of the training activations, "zero", or
            their geometric "median", which `sagsae.api.initialised` sets.
        gate_init: Where the gate's bias of Gated starts: "zero" (arXiv 2404.16014), or "matched" to
            the initial threshold of sign-aware gates, at minus that.
        clip_gradient_norm: Largest norm of all gradients together; longer ones are scaled down to
            it. 0 for no limit. The step on a CPU that never forms gradients cannot be taken then.
        decoder_norm: Of a gate's decoder rows: "unit" after each step, or "free". The penalty then
            weighs each latent by the norm of its row, and a finished run folds the norms into the
            encoder, which changes no reconstruction.
        decoder_init_norm: Norm of the rows of decoder and encoder at the start, where it is free.
        auxiliary_decoder: Of a gate's auxiliary term: "frozen", or "trained" by it as well.
        lr_warmup_shape: "linear", or "cosine" from a tenth of the rate.
        adam_epsilon: Of Adam, added to the root of the second moment.
        weight_average: Decay of a moving average of all parameters, which a finished run has in
            place of them; 0 for none. The average is corrected for its start.
        k_warmup_steps: Steps over which k falls linearly from d (at most H) to its value.
        encoder_input: Of a variant without a gate: "centred" encodes x - b_dec, "plain" x.
        input_norm: Mean square norm of the activations: "unit" for 1, "sqrt_d" for d, where typical
            norms are sqrt(d). `sagsae.api.initialised` applies it.
        auxk_coefficient: Weight of the AuxK term of the top-k family; 0 for none.
        auxk_latents: Dead latents per token in that term; 0 for the power of two nearest d / 2.
        dead_window_tokens: Silence after which a latent counts as dead in that term.
        threshold_init: Where thresholds of JumpReLU start, and of the signed ReLU.
        bandwidth: Width of the kernel that estimates the gradient of JumpReLU's threshold.
        threshold_parameter: Of JumpReLU: "raw" trains the threshold, "log" its logarithm.
        matryoshka_levels: Ends of the nested groups as shares of the width, ascending, the last 1.
        level_reduction: The errors of the levels are added ("sum") or averaged ("mean").

    Raises:
        ValueError: a word that is no choice, a norm to start from where norms are not free, both
            lambda and k, or levels that do not ascend to 1.
    """

    steps: int
    batch_size: int
    lam: float
    learning_rate: float
    beta1: float = 0.0
    beta2: float = 0.999
    lr_warmup_steps: int = 0
    lr_decay_fraction: float = 0.2
    lambda_warmup_steps: int = 0
    theta_init: float = 1.2
    reset_window_tokens: int = 0
    matmul_dtype: str = "auto"
    b_dec_init: str = field(default="mean", metadata=LATER)
    gate_init: str = field(default="zero", metadata=LATER)
    clip_gradient_norm: float = field(default=0.0, metadata=LATER)
    decoder_norm: str = field(default="unit", metadata=LATER)
    decoder_init_norm: float = field(default=1.0, metadata=LATER)
    auxiliary_decoder: str = field(default="frozen", metadata=LATER)
    k: int = field(default=0, metadata=LATER)
    lr_warmup_shape: str = field(default="linear", metadata=LATER)
    adam_epsilon: float = field(default=1e-8, metadata=LATER)
    weight_average: float = field(default=0.0, metadata=LATER)
    k_warmup_steps: int = field(default=0, metadata=LATER)
    encoder_input: str = field(default="centred", metadata=LATER)
    input_norm: str = field(default="unit", metadata=LATER)
    auxk_coefficient: float = field(default=1 / 32, metadata=LATER)
    auxk_latents: int = field(default=0, metadata=LATER)
    dead_window_tokens: int = field(default=1_000_000, metadata=LATER)
    threshold_init: float = field(default=0.001, metadata=LATER)
    bandwidth: float = field(default=0.001, metadata=LATER)
    threshold_parameter: str = field(default="raw", metadata=LATER)
    matryoshka_levels: tuple[float, ...] = field(default=LEVELS, metadata=LATER)
    level_reduction: str = field(default="sum", metadata=LATER)

    def __post_init__(self) -> None:
        object.__setattr__(self, "matryoshka_levels", tuple(self.matryoshka_levels))  # from JSON
        for name, choices in CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"{name} is {value!r}: choose {' or '.join(choices)}")
        if self.decoder_norm == "unit" and self.decoder_init_norm != 1:
            raise ValueError("decoder_init_norm is for decoder_norm='free': choose that, or 1")
        if self.k and self.lam:
            raise ValueError("give lam or k: a variant has one of them")
        if fault := levels_fault(self.matryoshka_levels):
            raise ValueError(f"matryoshka_levels: {fault}")

    def described(self) -> dict[str, Any]:
        """The fields by name, as files of weights have them.

        A field that earlier versions had not is left out at its default, so that the files of one
        training stay the same.
        """
        found = ((each, getattr(self, each.name)) for each in fields(self))
        return {
            each.name: value for each, value in found if not each.metadata or value != each.default
        }

    def lr_at(self, step: int) -> float:
        """Learning rate of step 0 .. steps-1: warm-up, constant, linear decay."""
        risen = min(1.0, (step + 1) / (self.lr_warmup_steps + 1))
        if self.lr_warmup_shape == "cosine":
            risen = COSINE_START + (1 - COSINE_START) * (1 - math.cos(math.pi * risen)) / 2
        shares = [risen]
        decay_steps = self.lr_decay_fraction * self.steps
        if decay_steps > 0:
            shares.append((self.steps - step) / decay_steps)
        return self.learning_rate * min(shares)

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


def levels_fault(levels: Sequence[float]) -> str:
    """What is wrong with the ends of nested groups; empty where nothing is."""
    ascending = all(one < other for one, other in pairwise((0.0, *levels)))
    if levels and ascending and levels[-1] == 1:
        return ""
    return f"{list(levels)} must ascend from above 0 to 1"
