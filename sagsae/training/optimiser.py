"""One optimiser step: Adam, then the autoencoder's constraints.

Where decoder rows keep unit norm, the part of each row's gradient that is parallel to the
row is removed before Adam, and rows are brought back to unit norm after it. Gradients are clipped
between the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from sagsae.schedules import Recipe
from sagsae.training.adam import MOMENTS, Adam
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.cpu_step import CpuStep, Update, as_array
from sagsae.training.row_updates import AdamRates, Rows, squared_gradients, step_rows
from sagsae.training.step import Step, Terms
from sagsae.training.ungated_step import UngatedStep
from sagsae.training.weight_updates import Rates, Weights

MATRICES = ("W_enc", "W_dec")
CLIP_EPSILON = 1e-6
"""Added to a norm that is divided by, as in ``torch.nn.utils.clip_grad_norm_``."""


class Optimiser:
    """Gradients of a batch, then the step that they ask for, in PyTorch's own operations.

    Args:
        compute: Fills the gradients; its autoencoder is trained in place.
        recipe: beta1, beta2 and clip_gradient_norm; learning rates come with each step.
    """

    compute: Step | AutogradStep | UngatedStep

    def __init__(self, compute: Step | AutogradStep | UngatedStep, recipe: Recipe):
        self.compute = compute
        self._adam = self._adam_of(compute.params, recipe)
        self._beta2, self._longest = recipe.beta2, recipe.clip_gradient_norm

    def _adam_of(self, names: Iterable[str], recipe: Recipe) -> Adam:
        params, sae = {name: self.compute.params[name] for name in names}, self.compute.sae
        betas = recipe.beta1, recipe.beta2
        axes, epsilon = sae.latent_axes, recipe.adam_epsilon
        return Adam(params, self.compute.grads, betas, axes, sae.width, epsilon)

    def step(self, x: Tensor, lam: float, rate: float, fired: Tensor | None = None) -> Terms:
        """Train on normalised activations x [B, d].

        Args:
            x: Batch in the master dtype.
            lam: Sparsity coefficient of this step.
            rate: Learning rate of this step.
            fired: [H] bool, set where a latent has z != 0 in this batch.
        """
        terms = self.compute(x, lam, fired)
        if self.compute.sae.unit_rows:
            self._remove_radial_gradient()
        if self._longest:
            self._clip_gradients()
        self._adam.step(rate)
        with torch.no_grad():
            self.compute.sae.constrain()
        self.compute.refresh()
        return terms

    def _remove_radial_gradient(self) -> None:
        rows, grad = self.compute.params["W_dec"], self.compute.grads["W_dec"]
        grad.addcmul_(rows, (rows * grad).sum(1, keepdim=True), value=-1.0)

    def _clip_gradients(self) -> None:
        grads = list(self.compute.grads.values())
        scale = self._longest / (torch.nn.utils.get_total_norm(grads) + CLIP_EPSILON)
        for grad in grads:
            grad.mul_(scale.clamp(max=1.0))

    def forget(self, latents: Tensor) -> None:
        """Clear the moments of some latents, [H] bool, which count their steps from here."""
        self._adam.forget(latents)

    def state(self) -> dict[str, Tensor]:
        """What `load_state` of this class and of `FusedOptimiser` continues from, on any device.

        Moments, ``cleared`` of `Adam`, and ``clock`` [H]: the step up to which the second moments
        of a latent's rows in the matrices are advanced. After it, they only decayed.
        """
        return {
            **self._adam.state(),
            "clock": torch.full_like(self._adam.cleared, self._adam.count),
        }

    def load_state(self, tensors: dict[str, Tensor], steps: int) -> None:
        """Continue after ``steps`` steps; the autoencoder's parameters are already as they were."""
        late, tensors = steps - tensors["clock"], dict(tensors)
        if late.any():  # moments of `FusedOptimiser` wait until their latent opens again
            decay = self._beta2 ** late.double()
            for name, factor in zip(MATRICES, (decay, decay[:, None]), strict=True):
                tensors[f"exp_avg_sq.{name}"] = tensors[f"exp_avg_sq.{name}"] * factor
        self._adam.load_state(tensors, steps)
        self.compute.refresh()


class FusedOptimiser(Optimiser):
    """The same step where the weight matrices are updated while their gradients are computed.

    For a CPU, beta1 = 0 and no clipping, whose norm is known once all gradients are; see
    `sagsae.training.weight_updates`.
    """

    compute: CpuStep

    def __init__(self, compute: CpuStep, recipe: Recipe):
        self.compute, self._beta2, self._epsilon = compute, recipe.beta2, recipe.adam_epsilon
        params = compute.params
        self._adam = self._adam_of([name for name in params if name not in MATRICES], recipe)
        self._moments = {name: torch.zeros_like(params[name]) for name in MATRICES}
        self._clock = torch.zeros(compute.sae.width, dtype=torch.int64)
        self._weights = Weights(
            W_enc=as_array(params["W_enc"].T),
            W_dec=as_array(params["W_dec"]),
            v_enc=as_array(self._moments["W_enc"].T),
            v_dec=as_array(self._moments["W_dec"]),
            enc=as_array(compute.W_enc.T),
            dec=as_array(compute.W_dec),
            clock=as_array(self._clock),
        )

    def step(self, x: Tensor, lam: float, rate: float, fired: Tensor | None = None) -> Terms:
        update = Update(self._weights, self._rates(self._adam.count + 1, rate))
        terms = self.compute.descend(x, lam, update, fired)
        self._adam.step(rate)
        self.compute.sae.project()
        return terms

    def _rates(self, step: int, rate: float) -> Rates:
        scalar = self._weights.W_enc.dtype.type
        correction = np.full(len(self._clock), 1.0 / math.sqrt(1.0 - self._beta2**step))
        reset = as_array(self._adam.reset)
        correction[reset] = (
            1.0 - self._beta2 ** (step - as_array(self._adam.cleared)[reset])
        ) ** -0.5
        return Rates(
            step=step,
            beta2=self._beta2,
            fresh=scalar(1.0 - self._beta2),
            correction=correction.astype(scalar),
            learning_rate=scalar(rate),
            epsilon=scalar(self._epsilon),
            tiny=scalar(torch.finfo(self.compute.master).tiny),
        )

    def state(self) -> dict[str, Tensor]:
        moments = {f"exp_avg_sq.{name}": value for name, value in self._moments.items()}
        return {**super().state(), **moments, "clock": self._clock}

    def load_state(self, tensors: dict[str, Tensor], steps: int) -> None:
        self._adam.load_state(tensors, steps)
        for name, value in self._moments.items():
            value.copy_(tensors[f"exp_avg_sq.{name}"])
        self._clock.copy_(tensors["clock"])
        self.compute.refresh()

    def forget(self, latents: Tensor) -> None:
        super().forget(latents)
        for name, value in self._moments.items():
            value.movedim(self.compute.sae.latent_axes[name], -1).masked_fill_(latents, 0)


class RowOptimiser(Optimiser):
    """The same step of an autoencoder without a gate, whose matrices one compiled pass updates.

    See `sagsae.training.row_updates`.
    """

    compute: UngatedStep

    def __init__(self, compute: UngatedStep, recipe: Recipe):
        self.compute, self._recipe, params = compute, recipe, compute.params
        self._beta2, self._longest = recipe.beta2, recipe.clip_gradient_norm
        self._others = [name for name in params if name not in MATRICES]
        self._adam = self._adam_of(self._others, recipe)
        kept = MOMENTS if recipe.beta1 else MOMENTS[1:]
        self._moments = {
            f"{key}.{name}": torch.zeros_like(params[name]) for key in kept for name in MATRICES
        }
        none = params["W_dec"].new_empty(0, compute.sae.d)
        tensors: dict[str, Mapping[str, Tensor | None]] = {
            "W": params,
            "grad": compute.grads,
            "m": {name: self._moments.get(f"exp_avg.{name}") for name in MATRICES},
            "v": {name: self._moments[f"exp_avg_sq.{name}"] for name in MATRICES},
        }
        arrays = {
            f"{kind}_{name[2:]}": as_array(none if value is None else _by_latent(name, value))
            for kind, values in tensors.items()
            for name in MATRICES
            for value in [values[name]]
        }
        operands = as_array(compute.W_enc.T), as_array(compute.W_dec)
        self._rows = Rows(**arrays, enc=operands[0], dec=operands[1])

    def step(self, x: Tensor, lam: float, rate: float, fired: Tensor | None = None) -> Terms:
        terms, sae = self.compute(x, lam, fired), self.compute.sae
        scale = self._scale(sae.unit_rows) if self._longest else 1.0
        self._adam.step(rate)
        rates, rows, unit = self._rates(rate, scale), self._rows, sae.unit_rows
        self.compute.threads.share(sae.width, lambda i, j: step_rows(rows, rates, unit, i, j))
        with torch.no_grad():
            sae.project()
        return terms

    def _scale(self, unit: bool) -> float:
        """What the gradients are multiplied by; those of the vectors are, here."""
        parts = self.compute.threads.share(
            self.compute.sae.width, lambda i, j: squared_gradients(self._rows, unit, i, j)
        )
        others = [self.compute.grads[name] for name in self._others]
        square = sum(parts) + float(sum(grad.square().sum() for grad in others))
        scale = min(1.0, self._longest / (math.sqrt(square) + CLIP_EPSILON))
        for grad in others:
            grad.mul_(scale)
        return scale

    def _rates(self, rate: float, scale: float) -> AdamRates:
        scalar, n = self._rows.W_dec.dtype.type, self._adam.count
        first, second = self._recipe.beta1, self._recipe.beta2
        return AdamRates(
            beta1=scalar(first),
            beta2=scalar(second),
            rate=scalar(rate / (1.0 - first**n)),
            correction=scalar(1.0 / math.sqrt(1.0 - second**n)),
            epsilon=scalar(self._recipe.adam_epsilon),
            scale=scalar(scale),
            tiny=scalar(torch.finfo(self.compute.master).tiny),
        )

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), **self._moments}

    def load_state(self, tensors: dict[str, Tensor], steps: int) -> None:
        self._adam.load_state(tensors, steps)
        for name, value in self._moments.items():
            value.copy_(tensors[name])
        self.compute.refresh()


def _by_latent(name: str, matrix: Tensor) -> Tensor:
    """A matrix with a latent's weights in a row, [H, d]."""
    return matrix.T if name == "W_enc" else matrix


def optimiser(compute: Step | AutogradStep | UngatedStep, recipe: Recipe) -> Optimiser:
    """The fastest that there is for this step and recipe."""
    if isinstance(compute, UngatedStep):
        return RowOptimiser(compute, recipe)
    if isinstance(compute, CpuStep) and recipe.beta1 == 0 and not recipe.clip_gradient_norm:
        return FusedOptimiser(compute, recipe)
    return Optimiser(compute, recipe)
