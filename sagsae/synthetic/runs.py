"""One autoencoder trained on a synthetic source, and what it makes of an evaluation sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.weights import build
from sagsae.evaluation.metrics import ReconstructionMetrics, evaluate_reconstruction
from sagsae.synthetic.sources import (
    CALIBRATION,
    EVALUATION,
    Drawn,
    Source,
    SyntheticStream,
    generator,
)
from sagsae.training.recipe import Recipe
from sagsae.training.trainer import Trainer

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
