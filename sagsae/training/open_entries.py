"""Products that touch only the entries of a code whose gate is open.

With L0 of H latents active, decoding, its backward and both weight gradients need L0/H of their
dense arithmetic. Sums over the entries of a row, or of a latent, are ``embedding_bag`` calls;
inner products at the entries are one sampled product.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

# Said once a process; the one call that needs the layout is covered by the gradient tests.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")


class OpenEntries:
    """The open entries of one batch, in row order, with a second order by latent.

    Args:
        mask: [B, H] bool.
    """

    def __init__(self, mask: Tensor):
        self.shape = mask.shape
        self.rows, self.latents = mask.nonzero().unbind(1)
        self.row_starts = _starts(torch.bincount(self.rows, minlength=self.shape[0]))
        self.by_latent = torch.sort(self.latents, stable=True).indices
        counts = torch.bincount(self.latents, minlength=self.shape[1])
        self.latent_starts = _starts(counts)
        self.rows_by_latent = self.rows[self.by_latent]

    def gather(self, dense: Tensor) -> Tensor:
        """[n] values of a contiguous [B, H] tensor at the entries."""
        return dense.view(-1)[self.rows * self.shape[1] + self.latents]

    def vectors(self, params: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
        """Per-latent vectors, one value an entry."""
        return {name: params[name][self.latents] for name in names}

    def times(self, values: Tensor, matrix: Tensor) -> Tensor:
        """[B, d]: the sparse matrix of ``values`` [n] times ``matrix`` [H, d]."""
        return embedding_bag(
            self.latents, matrix, self.row_starts[:-1], mode="sum", per_sample_weights=values
        )

    def transposed_times(self, values: Tensor, matrix: Tensor) -> Tensor:
        """[H, d]: the transposed sparse matrix of ``values`` [n] times ``matrix`` [B, d]."""
        return embedding_bag(
            self.rows_by_latent,
            matrix,
            self.latent_starts[:-1],
            mode="sum",
            per_sample_weights=values[self.by_latent],
        )

    def inner(self, left: Tensor, right: Tensor) -> Tensor:
        """[n] inner products of rows of ``left`` [B, d] and ``right`` [H, d] at the entries."""
        pattern = torch.sparse_csr_tensor(
            self.row_starts,
            self.latents,
            left.new_zeros(len(self.latents)),
            size=self.shape,
            check_invariants=False,
        )
        return torch.sparse.sampled_addmm(pattern, left, right.T, beta=0.0).values()

    def sum_by_latent(self, values: Tensor) -> Tensor:
        """[H] sums of ``values`` [n] over each latent's entries."""
        return values.new_zeros(self.shape[1]).index_add_(0, self.latents, values)

    def adder(self, grads: dict[str, Tensor]) -> Callable[[str, Tensor], None]:
        """A function that adds entry values to the gradient [H] of a named vector."""

        def add(name: str, value: Tensor) -> None:
            grads[name].index_add_(0, self.latents, value)

        return add


def _starts(counts: Tensor) -> Tensor:
    """Start of each group, and the end of the last, from group sizes."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
