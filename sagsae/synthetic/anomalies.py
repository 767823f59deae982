"""Protocol B: large excursions of one axis in one direction, told from the code alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ExcursionSample:
    """Rows of activations, some of them anomalies.

    Attributes:
        x: [rows, d] float32.
        axis: [rows] int64, the axis of the row's excursion; -1 in normal rows.
        negative: [rows] bool, its direction.
    """

    x: Tensor
    axis: Tensor
    negative: Tensor


@dataclass(frozen=True, kw_only=True)
class ExcursionSource:
    """Axes that always fluctuate a little; in some rows one of them makes a large excursion.

    Attributes:
        axes: [K, d] float32 unit directions.
        fluctuation: Standard deviation of every axis in every row.
        share: Of the rows that are anomalies; axis and direction are uniform.
        low, high: Sizes of excursions are uniform between these.
    """

    axes: Tensor
    fluctuation: float
    share: float
    low: float
    high: float

    @property
    def d(self) -> int:
        return self.axes.shape[1]

    def draw(self, rows: int, rng: np.random.Generator) -> ExcursionSample:
        """Independent rows."""
        count = len(self.axes)
        size = rng.standard_normal((rows, count), np.float32) * np.float32(self.fluctuation)
        anomalous = rng.random(rows) < self.share
        axis = np.where(anomalous, rng.integers(0, count, rows), -1)
        negative = (rng.random(rows) < 0.5) & anomalous
        jump = rng.uniform(self.low, self.high, rows) * np.where(negative, -1, 1)
        size[anomalous, axis[anomalous]] += jump[anomalous]
        return ExcursionSample(
            x=torch.from_numpy(size) @ self.axes,
            axis=torch.from_numpy(axis),
            negative=torch.from_numpy(negative),
        )


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Exact area under the ROC curve; a tie between the classes counts one half.

    Args:
        scores: [N], any order-preserving scale.
        positive: [N] bool.

    Raises:
        ValueError: one of the classes is empty.
    """
    hits = int(positive.sum())
    misses = len(positive) - hits
    if not hits or not misses:
        raise ValueError(f"an AUROC needs both classes: {hits} positive, {misses} negative rows")
    ranks = pd.Series(scores).rank().to_numpy()
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def direction_aurocs(W_dec: Tensor, z: Tensor, axes: Tensor, sample: ExcursionSample) -> Tensor:
    """How well one side of one latent tells each excursion from everything else.

    Each direction of each axis is given the side, among those that fire at all, whose direction has
    the largest cosine with it; the score of a row is the code of that latent, signed towards the
    side. Excursions of other axes and of the same axis in the other direction count as negatives.

    Args:
        W_dec: [H, d] unit rows.
        z: [T, H] codes of ``sample``.
        axes: [K, d] unit directions.
        sample: What was encoded.

    Returns:
        [K, 2] float64, positive and negative direction; 0.5 everywhere if no latent fires.
    """
    fires = torch.stack([(z > 0).any(0), (z < 0).any(0)], dim=1).flatten()
    cosine = (axes.double() @ W_dec.double().T)[:, :, None]
    cosine = torch.cat([cosine, -cosine], dim=2).flatten(1)
    found = torch.full((len(axes), 2), 0.5, dtype=torch.float64)
    if not fires.any():
        return found
    for direction in (0, 1):
        towards = -cosine if direction else cosine
        side = towards.masked_fill(~fires, -torch.inf).argmax(1)
        for axis in range(len(axes)):
            latent, opposite = divmod(int(side[axis]), 2)
            scores = z[:, latent].numpy() * (-1 if opposite else 1)
            hit = (sample.axis == axis) & (sample.negative == bool(direction))
            found[axis, direction] = auroc(scores, hit.numpy())
    return found
