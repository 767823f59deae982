"""What the parts of a step on a CPU hand to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from sagsae.training.codes import Gate
from sagsae.training.threads import total


class Batch(NamedTuple):
    """What every part of a step starts from.

    Attributes:
        centred: [B, d] activations less ``b_dec``, in the master dtype.
        read: [B, d] what the encoder reads, in the master dtype.
        operand: The same in the dtype of the products.
        gate: What makes codes in this step.
    """

    centred: Tensor
    read: Tensor
    operand: Tensor
    gate: Gate


class Rows(NamedTuple):
    """What the rows of a batch, or a thread's part of them, come to.

    Attributes:
        penalty: Summed over the rows, before its weight.
        alive: How many z are not zero.
        fired: [H] bool, which latents have z != 0.
        squares: [3] squared errors of all groups of latents but the last, of the last, and of the
            auxiliary code.
        columns: [d] gradient at the reconstruction, summed over the rows.
        sums: [H, 7] as by `codes.rows_of_entries`.
    """

    penalty: float
    alive: int
    fired: np.ndarray
    squares: np.ndarray
    columns: np.ndarray
    sums: np.ndarray

    @classmethod
    def of_threads(cls, parts: Sequence[Rows]) -> Rows:
        """The parts together, in order."""
        return cls(
            sum(part.penalty for part in parts),
            sum(part.alive for part in parts),
            np.logical_or.reduce([part.fired for part in parts]),
            total([np.array(part.squares) for part in parts]),
            total([part.columns for part in parts]),
            total([part.sums for part in parts]),
        )
