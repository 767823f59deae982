"""Bounded heaps, many at a time: of each key the k entries of the lowest score.

An entry is a firing: its place in the text, its activation, and those of its latent around it. The
score is what it is kept by: minus its size for the strongest, a random number for a sample.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Entries:
    """Firings, n of them.

    Attributes:
        score: [n] float64, finite; the lowest are kept. Of equal ones, the lower place.
        place: [n] int64, ``context * L + position``.
        value: [n] float32, z.
        window: [n, 2 w + 1] float16, z of the latent from w positions before to w after; 0 where
            nothing fires, and beyond the context.
    """

    score: np.ndarray
    place: np.ndarray
    value: np.ndarray
    window: np.ndarray

    def take(self, chosen: np.ndarray) -> Entries:
        """Some of them, by index or mask."""
        return Entries(*(getattr(self, field.name)[chosen] for field in fields(self)))


class Heaps:
    """The k lowest entries of each of a number of keys.

    Args:
        keys: number of keys.
        k: entries of each, at most.
        width: of a window.

    Attributes:
        score, place, value, window: [keys, k, ...] as in `Entries`, lowest score first; where there
            is no entry the score is infinite.
    """

    def __init__(self, keys: int, k: int, width: int) -> None:
        self.k = k
        self.score = np.full((keys, k), np.inf)
        self.place = np.zeros((keys, k), np.int64)
        self.value = np.zeros((keys, k), np.float32)
        self.window = np.zeros((keys, k, width), np.float16)

    def may_enter(self, key: np.ndarray, score: np.ndarray) -> np.ndarray:
        """Indices, by ascending key and score, of new entries that no k others are below.

        Args:
            key: [n] int64.
            score: [n] float64.
        """
        if not self.k:
            return np.zeros(0, np.int64)
        better = np.flatnonzero(score < self.score[key, -1])
        order = better[np.lexsort((score[better], key[better]))]
        return order[_rank(key[order]) < self.k]

    def add(self, key: np.ndarray, entries: Entries) -> None:
        """Put entries in their heaps; those that no longer belong to the lowest k leave.

        Args:
            key: [n] int64.
            entries: n of them; at most k for each key are looked at, see `may_enter`.
        """
        order = np.lexsort((entries.place, entries.score, key))
        rank = _rank(key[order])
        order, rank = order[rank < self.k], rank[rank < self.k]
        keys, row = np.unique(key[order], return_inverse=True)
        both = {}
        for field in fields(entries):
            mine = getattr(self, field.name)
            fill = np.inf if field.name == "score" else 0
            new = np.full((len(keys), *mine.shape[1:]), fill, mine.dtype)
            new[row, rank] = getattr(entries, field.name)[order]
            both[field.name] = np.concatenate([mine[keys], new], 1)
        lowest = np.lexsort((both["place"], both["score"]), axis=1)[:, : self.k]
        for name, values in both.items():
            kept = values[np.arange(len(keys))[:, None], lowest]
            getattr(self, name)[keys] = kept

    def pop(self, keys: np.ndarray) -> Entries:
        """All entries of some keys, which then have none."""
        there = np.isfinite(self.score[keys])
        found = (getattr(self, field.name)[keys][there] for field in fields(Entries))
        entries = Entries(*found)
        self.score[keys] = np.inf
        return entries


def _rank(key: np.ndarray) -> np.ndarray:
    """How many of the same key come before, in a sorted array."""
    if not len(key):
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    return np.arange(len(key)) - np.repeat(starts, np.diff([*starts, len(key)]))
