"""Autoencoders with a gate: thresholds that start open, an auxiliary code, resets of dead latents.

With ``p`` [B, H] the gate's rectified pre-activations and ``a`` the same with the sign of ``pre``,
the loss is

    mean_B |x - z W_dec - b_dec|^2  +  lambda mean_B sum_i p_i  +  mean_B |x - a W_dec' - b_dec'|^2

with the auxiliary decoder (W_dec', b_dec') frozen, unless the recipe trains it. A variant is its
per-latent ``vectors`` and the ``sides`` that they make.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sagsae.autoencoders.declaration import GATE
from sagsae.autoencoders.dictionary import Dictionary
from sagsae.training.recipe import DEFAULTS, Recipe


class GatedAutoencoder(Dictionary):
    """See `Declaration`."""

    auxiliary = True
    may_free_rows = True
    penalised = GATE
    initial_theta = 0.0
    """What thresholds start from, and are reset to."""
    matched_gate = False

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe = DEFAULTS) -> None:
        """As `Declaration.initialise`.

        Thresholds start at ``recipe.theta_init`` in units of the spread that a random row gives
        ``pre``: sqrt((n - |mean|^2) / d), where n is the mean square norm of the activations, 1 or,
        by the recipe's ``input_norm``, d. Where the mean carries most of the norm, a threshold in
        units of sqrt(n / d) shuts every gate. The spread is that over activations, which ``b_dec``
        does not change.
        """
        super().initialise(mean, seed, recipe)
        total = self.d if recipe.input_norm == "sqrt_d" else 1
        spread = max(0.0, total - float(mean.double().square().sum()))
        norm = self._initial_norm(recipe)
        self.initial_theta = norm * recipe.theta_init * math.sqrt(spread / self.d)
        self.matched_gate = recipe.gate_init == "matched"
        self.reset_latents(torch.ones_like(self.params["W_dec"][:, 0], dtype=torch.bool))

    def configure(self, recipe: Recipe) -> None:
        self.trains_auxiliary = recipe.auxiliary_decoder == "trained"

    @property
    def latent_axes(self) -> dict[str, int]:
        return {"W_enc": 1, "W_dec": 0, **dict.fromkeys(self.vectors, 0)}

    def reset_latents(self, silent: Tensor) -> None:
        """Set vectors to their initial values. Gains stay."""
        for name in self.vectors:
            if name not in self.log_gains:
                self.params[name].masked_fill_(silent, self.initial_value(name))

    def initial_value(self, name: str) -> float:
        """What a vector starts from."""
        return self.initial_theta if name in self.thresholds else 0.0
