"""The k firings of the lowest score of each of many keys, over any number of batches.

The score is what a firing is kept by: minus its size for the strongest, a random number for a
sample.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

NAMES = ("score", "place", "value", "window")


class Lowest:
    """The k lowest firings of each of a number of keys.

    Args:
        keys: number of keys.
        k: firings of each, at most.
        width: of a window.

    Attributes:
        score: [keys, k] float64, lowest first; infinite where there is no firing. Of equal ones,
            the lower place comes first.
        place: [keys, k] int64, ``context * L + position``.
        value: [keys, k] float32, z.
        window: [keys, k, width] float16, z of the latent around.
    """

    def __init__(self, keys: int, k: int, width: int) -> None:
        self.k = k
        self.score = np.full((keys, k), np.inf)
        self.place = np.zeros((keys, k), np.int64)
        self.value = np.zeros((keys, k), np.float32)
        self.window = np.zeros((keys, k, width), np.float16)

    def offer(
        self,
        key: np.ndarray,
        score: np.ndarray,
        place: np.ndarray,
        value: np.ndarray,
        windows: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """Keep those of n new firings that belong to the lowest k of their key.

        Args:
            key: [n] int64.
            score: [n] float64, finite.
            place: [n] int64.
            value: [n] float32.
            windows: gives the windows of some of them, by ascending index.
        """
        if not self.k:
            return
        lower = np.flatnonzero(score < self.score[key, -1])
        order, _ = lowest_of_each(key[lower], score[lower], place[lower], self.k)
        new = np.sort(lower[order])
        keys = np.unique(key[new])
        there = np.isfinite(self.score[keys])
        both = {
            name: np.concatenate([getattr(self, name)[keys][there], of])
            for name, of in zip(
                NAMES, (score[new], place[new], value[new], windows(new)), strict=True
            )
        }
        owner = np.concatenate([np.repeat(keys, there.sum(1)), key[new]])
        order, rank = lowest_of_each(owner, both["score"], both["place"], self.k)
        for name in NAMES:
            getattr(self, name)[owner[order], rank] = both[name][order]


def lowest_of_each(
    key: np.ndarray, score: np.ndarray, place: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the k lowest of each key, by key and score, of equal scores by place; and the rank
    of each among those of its key."""
    order = np.lexsort((place, score, key))
    rank = np.arange(len(order)) - np.searchsorted(key[order], key[order])
    return order[rank < k], rank[rank < k]
