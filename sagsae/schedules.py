"""The recipe of a training run and what moves during it."""

from __future__ import annotations

from dataclasses import dataclass


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
