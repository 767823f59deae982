"""Autoencoders with a gate, and the Gated SAE (Rajamanoharan et al. 2024, arXiv 2404.16014).

A gate has thresholds that start open, an auxiliary code, and resets of dead latents. With ``p``
[B, H] the gate's rectified pre-activations and ``a`` the same with the sign of ``pre``, the loss is

    mean_B |x - z W_dec - b_dec|^2  +  lambda mean_B sum_i p_i  +  mean_B |x - a W_dec' - b_dec'|^2

with the auxiliary decoder (W_dec', b_dec') frozen, unless the recipe trains it. A variant is its
per-latent ``vectors`` and the ``sides`` that they make.

A gated latent costs its encoder row, its decoder row and the variant's per-latent vectors:
``2d + v`` scalars, so that a dictionary of H latents has ``(2d + v) H + d`` (v is 3 for ``gated``
and ``sagsae_tied``, 5 for ``sagsae_sym``, 6 for ``sagsae``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sagsae.autoencoders.declaration import GATE, Sides, Vectors
from sagsae.autoencoders.dictionary import Dictionary
from sagsae.autoencoders.weights import class_of
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


class Gated(GatedAutoencoder):
    """The baseline: one-sided gate and magnitude that share the encoder direction.

    ``p = ReLU(u + b_gate)``, ``m = ReLU(exp(r_mag) u + b_mag)``, ``z = 1[p > 0] m``, ``a = p``.
    """

    name = "gated"
    vectors = ("b_gate", "r_mag", "b_mag")
    log_gains = ("r_mag",)

    def sides(self, v: Vectors) -> Sides:
        return Sides.shared(-v["b_gate"], v["r_mag"], v["b_mag"], two_sided=False)

    def initial_value(self, name: str) -> float:
        return -self.initial_theta if name == "b_gate" and self.matched_gate else 0.0


def break_even_share(name: str, d: int) -> float | None:
    """Share of latents that must serve both signs for the variant to cost no more than Gated.

    H two-sided latents, a share q of which serves both signs, hold as much as (1 + q) H gated
    ones, so they break even at ``q* = (2d + v) / (2d + 3) - 1`` (this project's account of the
    paper's claim that sign-awareness pays even where opposite pairs are rare). 0 where a two-sided
    latent costs no more than a gated one.

    Returns:
        q*, or None for variants with one side, and for those that are not gated.

    Raises:
        KeyError, ImportError, TypeError: see `class_of`.
    """
    kind = class_of(name)
    if not issubclass(kind, GatedAutoencoder) or not kind.two_sided:
        return None
    return max(0.0, (2 * d + len(kind.vectors)) / (2 * d + len(Gated.vectors)) - 1)
