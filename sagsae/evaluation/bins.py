"""Histograms of activations: of each latent and sign, equal bins from 0 to a power of two."""

from __future__ import annotations

import numpy as np

# Bins of one sign; a power of two.
BINS = 64

# Exponent of a range that has no value.
EMPTY = -(2**14)


class Bins:
    """Counts of sizes |z| > 0 of H latents by sign. More than half of the bins are in use.

    Args:
        largest: [2, H] float, the largest size of either sign, positive before negative; 0 for
            none.

    Attributes:
        exponents: [2, H] int16; bins cover [0, 2 ** exponent). `EMPTY` where there is no size.
        counts: [2, H, BINS] int64. A bin holds its lower edge.
    """

    def __init__(self, largest: np.ndarray) -> None:
        self.exponents = np.where(largest > 0, np.frexp(largest)[1], EMPTY).astype(np.int16)
        self.counts = np.zeros((*largest.shape, BINS), np.int64)

    def parts(self, side: np.ndarray, latent: np.ndarray, size: np.ndarray, n: int) -> np.ndarray:
        """[m] int64, which of n equal parts of its range each size is in.

        Args:
            side: [m] int, 0 for positive.
            latent: [m] int.
            size: [m] float, inside the range of its latent and side.
            n: number of parts, a power of two.
        """
        share = np.ldexp(size.astype(np.float64), -self.exponents[side, latent].astype(np.int32))
        found: np.ndarray = (share * n).astype(np.int64).clip(max=n - 1)
        return found

    def add(self, side: np.ndarray, latent: np.ndarray, size: np.ndarray) -> None:
        """Count sizes that are inside the ranges."""
        width = self.counts.shape[1]
        flat = (side * width + latent) * BINS + self.parts(side, latent, size, BINS)
        self.counts += np.bincount(flat, minlength=self.counts.size).reshape(self.counts.shape)
