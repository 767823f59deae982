"""Codes as features of one sign: z > 0 and z < 0 of a latent are two sides, each a feature.

Side ``i`` of H latents is z_i > 0, side ``H + i`` is z_i < 0. Its value is the size of z where z
has its sign, and 0 elsewhere. Its decoder row is that of the latent times its sign. So the sides of
an autoencoder with two signs are read like the latents of one that has one sign, whose negative
sides never fire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from sagsae.evaluation.metrics import SupportsCode, rows_at_once


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread, so that sums have one order and no bit depends on the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class SideCodes:
    """The sides that fire on each of n rows.

    Attributes:
        width: number of latents H.
        starts: [n + 1] int64, where the entries of each row begin.
        sides: [entries] int32, by row.
        values: [entries] float32, above 0.
    """

    width: int
    starts: Tensor
    sides: Tensor
    values: Tensor

    @classmethod
    def of(cls, autoencoder: SupportsCode, batches: Iterable[Tensor]) -> SideCodes:
        """Encode rows, on a CPU with one thread, so that no bit hangs on the number of cores.

        Args:
            autoencoder: on the device of the batches.
            batches: [B, d] activations in original units.
        """
        counts, sides, values = [], [], []
        with torch.inference_mode(), one_thread():
            for x in batches:
                for rows in x.split(rows_at_once(x.device, autoencoder.width)):
                    z = autoencoder.code(rows.float() * autoencoder.scale)
                    row, latent = z.nonzero(as_tuple=True)
                    value = z[row, latent].float()
                    side = latent + autoencoder.width * (value < 0)
                    counts.append(torch.bincount(row, minlength=len(z)).cpu())
                    sides.append(side.int().cpu())
                    values.append(value.abs().cpu())
        return cls(
            autoencoder.width, _starts(torch.cat(counts)), torch.cat(sides), torch.cat(values)
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def rows(self) -> Tensor:
        """[entries] int64, the row of each entry."""
        return torch.repeat_interleave(self.starts.diff())

    def take(self, rows: Tensor) -> SideCodes:
        """Those of some rows [m], in the given order."""
        counts = self.starts.diff()[rows]
        starts = _starts(counts)
        shift = torch.repeat_interleave(self.starts[rows] - starts[:-1], counts)
        at = torch.arange(int(starts[-1])) + shift
        return SideCodes(self.width, starts, self.sides[at], self.values[at])

    def mean(self) -> Tensor:
        """[2 H] float64, mean value of each side over the rows."""
        weights = self.values.double()
        sums = torch.bincount(self.sides.long(), weights, 2 * self.width)
        return sums.double() / len(self)  # of no entries PyTorch makes float32

    def firings(self) -> Tensor:
        """[2 H] int64, rows on which each side fires."""
        return torch.bincount(self.sides.long(), minlength=2 * self.width)

    def columns(self, sides: Tensor) -> Tensor:
        """[n, k] float64, the values of some sides [k] on all rows."""
        place = torch.full((2 * self.width,), -1, dtype=torch.int64)
        place[sides] = torch.arange(len(sides))
        column = place[self.sides.long()]
        there = column >= 0
        found = torch.zeros(len(self), len(sides), dtype=torch.float64)
        found[self.rows[there], column[there]] = self.values[there].double()
        return found


def latents_of(sides: Tensor, width: int) -> Tensor:
    """The latents [k] that some sides [k] belong to."""
    return sides % width


def decoder_of_sides(decoder: Tensor) -> Tensor:
    """[2 H, d] decoder rows of the sides, from those [H, d] of the latents."""
    return torch.cat([decoder, -decoder])


def _starts(counts: Tensor) -> Tensor:
    return torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
