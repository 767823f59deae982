"""Autoencoders on synthetic data: seeded sources, the training on one, and the evaluation.

A stream of a source is endless and can be resumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.weights import build
from sagsae.evaluation.metrics import ReconstructionMetrics, evaluate_reconstruction
from sagsae.training.recipe import Recipe
from sagsae.training.trainer import Trainer

# Uses of one seed; each draws from a generator of its own.
TRAINING, CALIBRATION, EVALUATION, DIRECTIONS = range(4)


class Sample(Protocol):
    """A draw: activations ``x`` [rows, d] float32, and what they are made of."""

    @property
    def x(self) -> Tensor: ...


Drawn = TypeVar("Drawn", bound=Sample, covariant=True)


class Source(Protocol[Drawn]):
    """Draws samples of activations of width ``d``."""

    @property
    def d(self) -> int: ...

    def draw(self, rows: int, rng: np.random.Generator) -> Drawn: ...


def generator(seed: int, use: int, position: int = 0) -> np.random.Generator:
    """The generator of one use of a seed, at one position of a stream."""
    return np.random.default_rng([seed, use, position])


def unit_directions(count: int, d: int, seed: int) -> Tensor:
    """[count, d] float32 directions, uniform on the sphere; cosines spread by 1/sqrt(d)."""
    rows = generator(seed, DIRECTIONS).standard_normal((count, d))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return torch.from_numpy(rows.astype(np.float32))


class SyntheticStream:
    """Endless batches [rows, d] of a source; a batch is a pure function of seed and position."""

    wait_seconds = 0.0

    def __init__(self, source: Source[Sample], rows: int, seed: int):
        self.source, self.rows, self.seed, self.position = source, rows, seed, 0

    def __next__(self) -> Tensor:
        sample = self.source.draw(self.rows, generator(self.seed, TRAINING, self.position))
        self.position += 1
        return sample.x

    def state(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state(self, state: dict[str, Any]) -> None:
        self.position = state["position"]


# Rows from which the scale and the mean of a source are taken.
CALIBRATION_ROWS = 16384


def train(
    source: Source[Drawn], variant: str, width: int, recipe: Recipe, seed: int
) -> Autoencoder:
    """Train ``variant`` with H = ``width`` latents on ``source``, on the CPU.

    Args:
        seed: Of the batches, of the scale's sample and of the initial weights.
    """
    x = source.draw(CALIBRATION_ROWS, generator(seed, CALIBRATION)).x.double()
    scale = float(x.square().sum(1).mean() ** -0.5)
    sae = build(variant, source.d, width, scale)
    sae.initialise((x.mean(0) * scale).float(), seed, recipe)
    Trainer(sae, SyntheticStream(source, recipe.batch_size, seed), recipe).run()
    return sae


@dataclass(frozen=True, kw_only=True)
class Measured(Generic[Drawn]):
    """An autoencoder on rows that it was not trained on.

    Attributes:
        sae: The autoencoder.
        sample: The rows and the truth about them.
        z: [T, H] float32 codes.
        metrics: Reconstruction, L0 and census.
    """

    sae: Autoencoder
    sample: Drawn
    z: Tensor
    metrics: ReconstructionMetrics

    @property
    def W_dec(self) -> Tensor:
        """[H, d] unit rows."""
        return self.sae.W_dec

    @property
    def mse(self) -> float:
        """Mean squared error a coordinate, in the units of the source."""
        return self.metrics.sse / (self.metrics.tokens * self.sae.d)


def measure(sae: Autoencoder, source: Source[Drawn], rows: int, seed: int) -> Measured[Drawn]:
    """Encode an evaluation sample of ``rows`` rows."""
    sample = source.draw(rows, generator(seed, EVALUATION))
    with torch.inference_mode():
        z = sae.code(sample.x * sae.scale)
    metrics = evaluate_reconstruction(sae, [sample.x])
    return Measured(sae=sae, sample=sample, z=z, metrics=metrics)
