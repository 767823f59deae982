"""Moments and ranges of every feature of a store, by one pass over its rows, a block a task.

The statistics that a store carries (`Store.statistics`) are sums over features. These here are for
each feature by itself; blocks are merged by the formulas of Chan, Golub and LeVeque (1983).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from sagsae.activations.arrays import as_float32
from sagsae.activations.blocks import Report, each_block
from sagsae.activations.commits import Commit
from sagsae.activations.convert import pieces_of
from sagsae.activations.layout import StoreConfig
from sagsae.activations.store import Store
from sagsae.storage import Storage


@dataclass(frozen=True, kw_only=True)
class FeatureStatistics:
    """Of the features of one hookpoint, in the model's own units.

    Attributes:
        count: rows.
        mean: [d] float64.
        deviations: [d] float64, sum of squared deviations from the mean.
        minimum: [d] float32.
        maximum: [d] float32.
    """

    count: int
    mean: np.ndarray
    deviations: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """[d] float64, over all rows (divided by their number)."""
        found: np.ndarray = self.deviations / self.count
        return found

    @classmethod
    def of(cls, rows: np.ndarray) -> Self:
        """Of some rows, [n, d] float32."""
        exact = rows.astype(np.float64)
        mean = exact.mean(axis=0)
        return cls(
            count=len(rows),
            mean=mean,
            deviations=((exact - mean) ** 2).sum(axis=0),
            minimum=rows.min(axis=0),
            maximum=rows.max(axis=0),
        )

    def merged(self, other: Self) -> Self:
        """Of the rows of both."""
        count, apart = self.count + other.count, other.mean - self.mean
        return type(self)(
            count=count,
            mean=self.mean + apart * (other.count / count),
            deviations=self.deviations
            + other.deviations
            + apart**2 * (self.count * other.count / count),
            minimum=np.minimum(self.minimum, other.minimum),
            maximum=np.maximum(self.maximum, other.maximum),
        )


def feature_statistics(
    store: Store, hookpoints: Iterable[str] | None = None, report: Report | None = None
) -> dict[str, FeatureStatistics]:
    """Statistics of every feature over all rows of a store.

    Args:
        store: every committed chunk of the hookpoints is read and checked once.
        hookpoints: which; all without it.
        report: called as blocks are done.

    Raises:
        ValueError: a chunk is damaged.
        KeyError: a hookpoint is unknown.
    """
    names = list(store.config.hookpoints if hookpoints is None else hookpoints)
    for name in names:
        store.width(name)  # raises KeyError
    work = partial(_of_block, store.storage, store.config, names)
    blocks = each_block(work, store.blocks, report)
    found = {}
    for name in names:
        first, *others = (block[name] for block in blocks)
        for other in others:
            first = first.merged(other)
        found[name] = first
    return found


def _of_block(
    storage: Storage, config: StoreConfig, names: list[str], block: int
) -> dict[str, FeatureStatistics]:
    commit, found = Commit.read(storage, config, block), {}
    for name in names:
        parts = (as_float32(rows) for _, rows in pieces_of(storage, config, commit, name))
        found[name] = FeatureStatistics.of(next(parts))
        for part in parts:
            found[name] = found[name].merged(FeatureStatistics.of(part))
    return found
