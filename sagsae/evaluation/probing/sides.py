"""Codes as features of one sign: z > 0 and z < 0 of a latent are two sides, each a feature.

Side ``i`` of H latents is z_i > 0, side ``H + i`` is z_i < 0. Its value is the size of z where z
has its sign, and 0 elsewhere. Its decoder row is that of the latent times its sign. So the sides of
an autoencoder with two signs are read like the latents of one that has one sign, whose negative
sides never fire.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from scipy.sparse import csr_array, vstack
from torch import Tensor
from torch.nn.functional import pad

from sagsae.activations.cpu_products import threads_of_torch
from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.metrics import rows_at_once


@dataclass(frozen=True)
class SideCodes:
    """The sides that fire on each of n rows.

    Attributes:
        values: [n, 2 H] float64, sparse; above 0 where a side fires.
    """

    values: csr_array

    @classmethod
    def of(cls, autoencoder: Autoencoder, batches: Iterable[Tensor]) -> SideCodes:
        """Encode rows, on a CPU with one thread, so that no bit hangs on the number of cores.

        Args:
            autoencoder: on the device of the batches.
            batches: [B, d] activations in original units.
        """
        parts, width = [], autoencoder.width
        with torch.inference_mode(), threads_of_torch(1):
            for x in batches:
                for rows in x.split(rows_at_once(x.device, width)):
                    z = autoencoder.code(rows.float() * autoencoder.scale)
                    row, latent = z.nonzero(as_tuple=True)
                    value = z[row, latent].double()
                    side = latent + width * (value < 0)
                    starts = pad(torch.bincount(row, minlength=len(z)).cumsum(0), (1, 0))
                    entries = (part.cpu().numpy() for part in (value.abs(), side, starts))
                    parts.append(csr_array(tuple(entries), shape=(len(z), 2 * width)))
        return cls(vstack(parts, "csr"))

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def take(self, rows: Tensor) -> SideCodes:
        """The codes of some rows [m], in the given order."""
        return SideCodes(self.values[rows.numpy()])

    def mean(self) -> Tensor:
        """[2 H] float64, mean value of each side over the rows."""
        return torch.from_numpy(self.values.sum(axis=0)) / len(self)

    def firings(self) -> Tensor:
        """[2 H] int64, rows on which each side fires."""
        return torch.from_numpy(self.values.count_nonzero(axis=0)).long()

    def columns(self, sides: Tensor) -> Tensor:
        """[n, k] float64, the values of some sides [k] on all rows."""
        return torch.from_numpy(self.values[:, sides.numpy()].toarray())


def decoder_of_sides(decoder: Tensor) -> Tensor:
    """[2 H, d] decoder rows of the sides, from those [H, d] of the latents."""
    return torch.cat([decoder, -decoder])
