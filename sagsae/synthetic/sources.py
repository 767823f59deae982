"""Where synthetic batches come from: seeded sources and an endless, resumable stream of draws."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

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
