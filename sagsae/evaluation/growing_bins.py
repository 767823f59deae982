"""Histograms of activations whose largest value is not known beforehand, in one pass.

Of each latent and sign, equal bins cover the sizes from 0 to a power of two. Where a larger size
comes, the range doubles until it is inside, and bins merge in pairs. So counts are exact, bins are
equal, and at the end more than half of them are in use.
"""

from __future__ import annotations

import numpy as np

BINS = 64
"""Bins of one sign; a power of two."""

EMPTY = -(2**14)
"""Exponent of a range that has no value yet."""


class GrowingBins:
    """Counts of sizes |z| > 0 of H latents by sign.

    Args:
        width: number of latents H.

    Attributes:
        exponents: [2, H] int16; bins cover [0, 2 ** exponent). `EMPTY` where nothing was counted.
        counts: [2, H, BINS] int64. A bin holds its lower edge.
    """

    def __init__(self, width: int) -> None:
        self.exponents = np.full((2, width), EMPTY, np.int16)
        self.counts = np.zeros((2, width, BINS), np.int64)

    def reach(self, side: np.ndarray, latent: np.ndarray, largest: np.ndarray) -> np.ndarray:
        """Widen ranges so that they hold some sizes.

        Args:
            side: [n] int, 0 for positive; pairs of side and latent must not repeat.
            latent: [n] int.
            largest: [n] float, above 0.

        Returns:
            [n] bool: those whose range had values and has become wider.
        """
        needed = np.frexp(largest)[1].astype(np.int16)  # size < 2 ** needed
        before = self.exponents[side, latent]
        wider = needed > before
        grown: np.ndarray = wider & (before != EMPTY)
        self._merge(side[grown], latent[grown], (needed - before)[grown])
        self.exponents[side, latent] = np.maximum(needed, before)
        return grown

    def _merge(self, side: np.ndarray, latent: np.ndarray, doublings: np.ndarray) -> None:
        for step in np.unique(doublings):
            of = doublings == step
            old = self.counts[side[of], latent[of]]
            into = max(1, BINS >> min(int(step), BINS))
            new = np.zeros_like(old)
            new[:, :into] = old.reshape(len(old), into, BINS // into).sum(2)
            self.counts[side[of], latent[of]] = new

    def bins(self, side: np.ndarray, latent: np.ndarray, size: np.ndarray, n: int) -> np.ndarray:
        """[n] int64, which of n equal parts of its range each size is in.

        Args:
            side: [n] int.
            latent: [n] int.
            size: [n] float, inside the range of its latent and side.
            n: number of parts, a power of two.
        """
        share = np.ldexp(size.astype(np.float64), -self.exponents[side, latent].astype(np.int32))
        found: np.ndarray = (share * n).astype(np.int64)
        return found

    def add(self, side: np.ndarray, latent: np.ndarray, size: np.ndarray) -> None:
        """Count sizes that are inside the ranges."""
        width = self.counts.shape[1]
        flat = (side * width + latent) * BINS + self.bins(side, latent, size, BINS)
        self.counts += np.bincount(flat, minlength=self.counts.size).reshape(self.counts.shape)
