"""The recipe of a training run and what moves during it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

LATER = {"since": "files of earlier versions lack it"}
CHOICES = {
    "b_dec_init": ("mean", "zero"),
    "gate_init": ("zero", "matched"),
    "decoder_norm": ("unit", "free"),
    "auxiliary_decoder": ("frozen", "trained"),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything a training run needs besides the data and the autoencoder. Lengths in steps.

    Attributes:
        steps: Optimiser steps.
        batch_size: Tokens a step, B.
        lam: Sparsity coefficient lambda at unit mean square activations.
        learning_rate: Peak learning rate of Adam(beta1, beta2).
        lr_warmup_steps: Linear rise from zero.
        lr_decay_fraction: Share of the steps, at the end, of the linear fall to zero.
        lambda_warmup_steps: Linear rise of lambda from zero.
        theta_init: Initial gate threshold, see ``Autoencoder.initialise``.
        reset_window_tokens: Silence after which a latent is reset; 0 for never.
        matmul_dtype: "auto", "bfloat16" or "float32".
        b_dec_init: Where the decoder's bias starts: "mean" of the training activations, or "zero".
        gate_init: Where the gate's bias of Gated starts: "zero" (arXiv 2404.16014), or "matched" to
            the initial threshold of sign-aware gates, at minus that.
        clip_gradient_norm: Largest norm of all gradients together; longer ones are scaled down to
            it. 0 for no limit. The step on a CPU that never forms gradients cannot be taken then.
        decoder_norm: Of a gate's decoder rows: "unit" after each step, or "free". The penalty then
            weighs each latent by the norm of its row, and a finished run folds the norms into the
            encoder, which changes no reconstruction.
        decoder_init_norm: Norm of the rows of decoder and encoder at the start, where it is free.
        auxiliary_decoder: Of a gate's auxiliary term: "frozen", or "trained" by it as well.

    Raises:
        ValueError: a word that is no choice, or a norm to start from where norms are not free.
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

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"{name} is {value!r}: choose {' or '.join(choices)}")
        if self.decoder_norm == "unit" and self.decoder_init_norm != 1:
            raise ValueError("decoder_init_norm is for decoder_norm='free': choose that, or 1")

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
        shares = [1.0, (step + 1) / (self.lr_warmup_steps + 1)]
        decay_steps = self.lr_decay_fraction * self.steps
        if decay_steps > 0:
            shares.append((self.steps - step) / decay_steps)
        return self.learning_rate * min(shares)

    def lambda_at(self, step: int) -> float:
        """Sparsity coefficient of a step: zero at step 0 of a warm-up, lam from its end on."""
        if self.lambda_warmup_steps == 0:
            return self.lam
        return self.lam * min(1.0, step / self.lambda_warmup_steps)
