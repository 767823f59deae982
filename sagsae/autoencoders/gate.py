"""Autoencoders whose code is a gate's: one family of losses, written once.

With ``pre = (x - b_dec) W_enc`` [B, H] the encoder product that every variant starts from, ``a``
[B, H] the auxiliary code, and ``p`` the gate's rectified pre-activations, the loss is

    mean_B |x - z W_dec - b_dec|^2  +  lambda mean_B sum_i p_i  +  mean_B |x - a W_dec' - b_dec'|^2

with the auxiliary decoder (W_dec', b_dec') frozen, unless the recipe trains it. A variant is its
per-latent ``vectors`` and the ``sides`` that they make.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from sagsae.autoencoders.dictionary import GATE, Dictionary, Vectors
from sagsae.schedules import DEFAULTS, Recipe


class GatedAutoencoder(Dictionary):
    """See `Dictionary`.

    Attributes:
        trains_auxiliary: Whether the auxiliary term trains ``W_dec`` and ``b_dec`` as well.
    """

    thresholds: ClassVar[tuple[str, ...]] = ()
    """Those of the vectors that are thresholds: never negative."""
    auxiliary: ClassVar[bool] = True
    """Whether the loss has the auxiliary term."""
    may_free_rows = True
    penalised = GATE
    initial_theta = 0.0
    """What thresholds start from, and are reset to."""
    matched_gate = trains_auxiliary = False

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe = DEFAULTS) -> None:
        """As `Dictionary.initialise`.

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

    def activate(self, pre: Tensor, v: Vectors) -> Tensor:
        p, gain, c = self._open(pre, v)
        size = self._size(pre)
        m = (size * gain + c).relu() * (p > 0)
        return torch.copysign(m, pre) if self.two_sided else m

    def penalty(self, pre: Tensor, v: Vectors, z: Tensor) -> Tensor:
        return self._open(pre, v)[0]

    def auxiliary_terms(
        self, x: Tensor, pre: Tensor, v: Vectors, error: Tensor
    ) -> dict[str, Tensor]:
        if not self.auxiliary:
            return {"auxiliary": x.new_zeros(())}
        p, _, _ = self._open(pre, v)
        a = torch.copysign(p, pre) if self.two_sided else p
        decoder = self.W_dec, self.b_dec
        W, b = decoder if self.trains_auxiliary else (value.detach() for value in decoder)
        return {"auxiliary": (x - a @ W - b).square().sum(1).mean()}

    def _size(self, pre: Tensor) -> Tensor:
        return pre.abs() if self.two_sided else pre

    def _open(self, pre: Tensor, v: Vectors) -> tuple[Tensor, Tensor, Tensor]:
        """p, and gain and c of the side that each element faces."""
        sides = self.sides(v)
        theta, r, c = (
            torch.where(pre > 0, positive, negative) if self.two_sided else positive
            for positive, negative in zip(sides[::2], sides[1::2], strict=True)
        )
        return (self._size(pre) - theta).relu(), r.exp(), c

    def project(self) -> None:
        for name in self.thresholds:
            self.params[name].clamp_min_(0)
