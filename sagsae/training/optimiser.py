"""One optimiser step: Adam, then the autoencoder's constraints.

Where decoder rows have unit norm, the part of each row's gradient that is parallel to the row is
removed before Adam, and rows are brought back to unit norm after it. Gradients are clipped between
the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.declaration import SIZE
from sagsae.autoencoders.dictionary import Dictionary, is_as_declared
from sagsae.training.adam import MOMENTS, Adam
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.cpu_step import CpuStep
from sagsae.training.recipe import Recipe
from sagsae.training.step import Terms
from sagsae.training.threads import as_array
from sagsae.training.weight_updates import Rates, Weights, squared_gradients, update_from_memory

MATRICES = ("W_enc", "W_dec")
# Steps of a run from which compiling pays: it takes tens of seconds, and spares some 5 ms a step
# (assumed: no card has shown it).
COMPILED = 5000
# Added to a norm that is divided by, as in ``torch.nn.utils.clip_grad_norm_``.
CLIP_EPSILON = 1e-6


class Optimiser:
    """Gradients of a batch, then the step that they ask for, in PyTorch's own operations.

    Args:
        compute: Fills the gradients; its autoencoder is trained in place.
        recipe: beta1, beta2 and clip_gradient_norm; learning rates come with each step.
    """

    compute: AutogradStep | CpuStep

    def __init__(self, compute: AutogradStep | CpuStep, recipe: Recipe):
        self.compute = compute
        self._adam = self._adam_of(compute.params, recipe)
        self._beta2, self._longest = recipe.beta2, recipe.clip_gradient_norm

    def _adam_of(self, names: Iterable[str], recipe: Recipe) -> Adam:
        params, sae = {name: self.compute.params[name] for name in names}, self.compute.sae
        betas = recipe.beta1, recipe.beta2
        axes, epsilon = sae.latent_axes, recipe.adam_epsilon
        return Adam(params, self.compute.grads, betas, axes, sae.width, epsilon)

    def step(
        self,
        x: Tensor,
        lam: float,
        rate: float,
        fired: Tensor | None = None,
        y: Tensor | None = None,
    ) -> Terms:
        """Train on normalised activations x [B, d].

        Args:
            x: Batch in the master dtype.
            lam: Sparsity coefficient of this step.
            rate: Learning rate of this step.
            fired: [H] bool, set where a latent has z != 0 in this batch.
            y: [B, d_out] what a transcoder is to predict.
        """
        terms = self._gradients_of(x, lam, fired, y)
        sae = self.compute.sae
        if isinstance(sae, Dictionary) and sae.unit_rows and sae.W_dec.requires_grad:
            self._remove_radial_gradient()
        if self._longest:
            self._clip_gradients()
        self._adam.step(rate)
        with torch.no_grad():
            sae.constrain()
        self.compute.refresh()
        return terms

    def _gradients_of(self, x: Tensor, lam: float, fired: Tensor | None, y: Tensor | None) -> Terms:
        """Fill the gradients; that of a frozen decoder is zero, by which Adam moves nothing."""
        terms = self.compute(x, lam, fired, y)
        if not self.compute.sae.trains_decoder and "W_dec" in self.compute.grads:
            self.compute.grads["W_dec"].zero_()
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
        """What `load_state` of this class and of `CpuOptimiser` continues from, on any device.

        Moments, ``cleared`` of `Adam`, and ``clock`` [H]: the step up to which the second moments
        of a latent's rows in the matrices are advanced. After it, they only decayed.
        """
        return {
            **self._adam.state(),
            "clock": torch.full_like(self._adam.cleared, self._adam.count),
        }

    def load_state(self, tensors: dict[str, Tensor], steps: int) -> None:
        """Continue after ``steps`` steps; the autoencoder's parameters are already as they were."""
        decay, tensors = self._beta2 ** (steps - tensors["clock"]).double(), dict(tensors)
        if isinstance(self.compute.sae, Dictionary):
            for name, late in zip(MATRICES, (decay, decay[:, None]), strict=True):
                if name in self.compute.params:
                    tensors[f"exp_avg_sq.{name}"] = tensors[f"exp_avg_sq.{name}"] * late
        self._adam.load_state(tensors, steps)
        self.compute.refresh()


class CpuOptimiser(Optimiser):
    """`Optimiser` where one compiled pass updates both weight matrices, a latent at a time.

    With beta1 = 0 and without clipping, whose norm is known once all gradients are, that is done
    while gradients are computed, unless by dense products; see `sagsae.training.weight_updates`.
    """

    compute: CpuStep

    def __init__(self, compute: CpuStep, recipe: Recipe):
        self.compute, self._recipe, params = compute, recipe, compute.params
        self._beta2, self._longest = recipe.beta2, recipe.clip_gradient_norm
        sae, kept = compute.sae, MOMENTS if recipe.beta1 else MOMENTS[1:]
        self._others = [name for name in params if name not in MATRICES]
        self._adam = self._adam_of(self._others, recipe)
        self._moments = {
            f"{key}.{name}": torch.zeros_like(params[name]) for key in kept for name in MATRICES
        }
        self._clock = torch.zeros(sae.width, dtype=torch.int64)
        alone = sae.unit_rows and not sae.auxk_coefficient and len(sae.levels) == 1
        self.fused = alone and sae.trains_decoder and not recipe.beta1 and not self._longest
        none = params["W_dec"].new_empty(0, sae.d)
        m = [self._moments.get(f"exp_avg.{name}", none) for name in MATRICES]
        v = [self._moments[f"exp_avg_sq.{name}"] for name in MATRICES]
        self._weights = Weights(
            W_enc=as_array(params["W_enc"].T),
            W_dec=as_array(params["W_dec"]),
            m_enc=as_array(m[0].T if recipe.beta1 else none),
            m_dec=as_array(m[1]),
            v_enc=as_array(v[0].T),
            v_dec=as_array(v[1]),
            enc=as_array(compute.W_enc.T),
            dec=as_array(compute.W_dec),
            clock=as_array(self._clock),
        )

    def step(
        self,
        x: Tensor,
        lam: float,
        rate: float,
        fired: Tensor | None = None,
        y: Tensor | None = None,
    ) -> Terms:
        count, sae = self._adam.count + 1, self.compute.sae
        if self.fused:
            rates = self._rates(count, rate, 1.0)
            terms = self.compute(x, lam, fired, y, (self._weights, rates))
            self._adam.step(rate)
            if self.compute.dense:
                self._update_from_memory(rates)
        else:
            terms = self._gradients_of(x, lam, fired, y)
            scale = self._scale() if self._longest else 1.0
            self._adam.step(rate)
            self._update_from_memory(self._rates(count, rate, scale))
        with torch.no_grad():
            sae.project()
        return terms

    def _gradients(self) -> tuple[np.ndarray, np.ndarray]:
        grads = self.compute.grads
        return as_array(grads["W_enc"].T), as_array(grads["W_dec"])

    def _update_from_memory(self, rates: Rates) -> None:
        weights, grads = self._weights, self._gradients()
        self.compute.threads.share(
            len(self._clock), lambda i, j: update_from_memory(weights, rates, *grads, i, j)
        )

    def _scale(self) -> float:
        """What the gradients are multiplied by; those of the vectors are, here."""
        W_dec, grads, sae = self._weights.W_dec, self._gradients(), self.compute.sae
        parts = self.compute.threads.share(
            sae.width, lambda i, j: squared_gradients(W_dec, *grads, sae.unit_rows, i, j)
        )
        others = [self.compute.grads[name] for name in self._others]
        square = sum(parts) + float(sum(grad.square().sum() for grad in others))
        scale = min(1.0, self._longest / (math.sqrt(square) + CLIP_EPSILON))
        for grad in others:
            grad.mul_(scale)
        return scale

    def _rates(self, step: int, rate: float, scale: float) -> Rates:
        scalar = self._weights.W_enc.dtype.type
        beta1, beta2 = self._recipe.beta1, self._recipe.beta2
        corrections = np.full(len(self._clock), 1.0 / math.sqrt(1.0 - beta2**step))
        rates = np.full(len(self._clock), rate / (1.0 - beta1**step))
        reset = as_array(self._adam.reset)
        own = step - as_array(self._adam.cleared)[reset]
        corrections[reset] = (1.0 - beta2**own) ** -0.5
        rates[reset] = rate / (1.0 - beta1**own)
        return Rates(
            step=step,
            beta1=scalar(beta1),
            beta2=beta2,
            fresh=scalar(1.0 - beta2),
            rate=rates.astype(scalar),
            correction=corrections.astype(scalar),
            epsilon=scalar(self._recipe.adam_epsilon),
            scale=scalar(scale),
            unit=self.compute.sae.unit_rows and self.compute.sae.trains_decoder,
            tiny=scalar(torch.finfo(self.compute.master).tiny),
        )

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), **self._moments, "clock": self._clock}

    def load_state(self, tensors: dict[str, Tensor], steps: int) -> None:
        self._adam.load_state(tensors, steps)
        for name, value in self._moments.items():
            value.copy_(tensors[name])
        self._clock.copy_(tensors["clock"])
        self.compute.refresh()

    def forget(self, latents: Tensor) -> None:
        super().forget(latents)
        for name, value in self._moments.items():
            axis = self.compute.sae.latent_axes[name.rpartition(".")[2]]
            value.movedim(axis, -1).masked_fill_(latents, 0)


def fastest_step(
    sae: Autoencoder, recipe: Recipe, dtype: torch.dtype, device: torch.device
) -> AutogradStep | CpuStep:
    """The fastest step that there is.

    Args:
        sae: The autoencoder, on the device.
        recipe: The run's recipe.
        dtype: Of the matrix products.
        device: Where it computes; on a GPU the loss of our own classes is compiled where the run
            is long enough to win the compiler's time back.
    """
    if isinstance(sae, Dictionary) and device.type == "cpu" and _is_gate(sae):
        most = recipe.k_at(0, min(sae.d, sae.width))
        return CpuStep(sae, recipe.batch_size, dtype, most=most)
    step = AutogradStep(sae, dtype)
    if isinstance(sae, Dictionary) and device.type == "cuda" and recipe.steps >= COMPILED:
        step.fuse()
    return step


def _is_gate(sae: Dictionary) -> bool:
    """Whether the step on a CPU computes the loss of an autoencoder: what its class declares, with
    neither an auxiliary term that trains the decoder nor one of free rows beside a gate; both rows
    of a latent are of one length, and all parameters are trained."""
    free = not sae.unit_rows and sae.penalised != SIZE
    nested = sae.auxiliary and len(sae.levels) > 1
    declared = is_as_declared(sae) and sae.d == sae.d_out
    trained = all(value.requires_grad for value in sae.parameters())
    return declared and trained and not (sae.trains_auxiliary or free or nested)


def optimiser(compute: AutogradStep | CpuStep, recipe: Recipe) -> Optimiser:
    """The fastest that there is for this step and recipe.

    Raises:
        ValueError: the recipe freezes the decoder, and the autoencoder, one of a class of a user's
            own or not initialised by the recipe, would train it.
    """
    if recipe.decoder == "frozen" and compute.sae.trains_decoder:
        raise ValueError(
            f"decoder: {compute.sae.name} trains its own: only variants of this package that were "
            "initialised by this recipe can freeze it"
        )
    if isinstance(compute, CpuStep):
        return CpuOptimiser(compute, recipe)
    return Optimiser(compute, recipe)
