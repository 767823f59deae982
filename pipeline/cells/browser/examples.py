"""What the page shows of latents' firings: histogram, strongest contexts, samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.cells.browser.page import rounded
from sagsae.evaluation.bins import BINS
from sagsae.evaluation.lowest import Lowest
from sagsae.evaluation.profiles import INTERVALS, Profiles

# Steps of the activations around a firing; so many is the strongest activation of its sign.
STEPS = 255

# Context, position, z, and the activations around: offset and step in turn.
Example = list[Any]


class Examples:
    """Firings of latents as JSON values.

    Args:
        profiles: what was collected.
        length: tokens of a context.
    """

    def __init__(self, profiles: Profiles, length: int) -> None:
        self._strongest, self._drawn = profiles.strongest, profiles.drawn
        self._bins, self._length = profiles.bins, length
        self._width = profiles.bins.exponents.shape[1]

    def contexts(self) -> np.ndarray:
        """Numbers of the contexts that are shown, ascending."""
        places = [one.place[np.isfinite(one.score)] for one in (self._strongest, self._drawn)]
        return np.unique(np.concatenate(places) // self._length)

    def largest(self) -> np.ndarray:
        """[2, H] float32, the largest size of an activation of either sign; 0 where there is none.

        The strongest firings are kept, so it is among them.
        """
        there = np.isfinite(self._strongest.score[:, 0])
        found = np.where(there, np.abs(self._strongest.value[:, 0]), 0)
        return found.astype(np.float32).reshape(2, self._width)

    def of(self, latents: Sequence[int]) -> list[dict[str, Any]]:
        """Histogram, strongest firings by sign, and firings drawn from intervals by sign."""
        keys = np.array([[side * self._width + i for side in range(2)] for i in latents])
        strongest = self._examples(self._strongest, keys.ravel())
        intervals = keys[..., None] * INTERVALS + np.arange(INTERVALS)
        drawn = self._examples(self._drawn, intervals.ravel())
        found = []
        for n, i in enumerate(latents):
            by_side = []
            for side in range(2):
                at = 2 * n + side
                known = {tuple(one[:2]) for one in strongest[at]}
                own = drawn[at * INTERVALS : (at + 1) * INTERVALS]
                others = [[one for one in part if tuple(one[:2]) not in known] for part in own]
                by_side.append(self._intervals(side, i, others))
            shown = {"histogram": self.histogram(i), "strongest": strongest[2 * n : 2 * n + 2]}
            found.append(shown | {"drawn": by_side})
        return found

    def histogram(self, latent: int) -> dict[str, Any]:
        """Counts in bins of one width on both sides, from zero outwards, to the last that is used.

        The side whose bins are narrower has them merged.
        """
        exponents, counts = self._bins.exponents[:, latent], self._bins.counts[:, latent]
        widest, shown = int(exponents.max()), []
        for exponent, own in zip(exponents.tolist(), counts, strict=True):
            left = max(1, BINS >> min(widest - exponent, BINS))
            merged = own.reshape(left, -1).sum(1)
            shown.append(np.trim_zeros(merged, "b").tolist())
        width = 2.0**widest / BINS if any(shown) else 0.0
        return {"bin": width, "positive": shown[0], "negative": shown[1]}

    def _intervals(self, side: int, latent: int, drawn: list[list[Example]]) -> list[Any]:
        """Those that have firings, from the strongest on: ends, firings, those that are shown."""
        counts = self._bins.counts[side, latent].reshape(INTERVALS, -1).sum(1).tolist()
        if not any(counts):
            return []
        part = 2.0 ** int(self._bins.exponents[side, latent]) / INTERVALS
        return [
            [*rounded([j * part, (j + 1) * part]), counts[j], drawn[j]]
            for j in reversed(range(INTERVALS))
            if counts[j]
        ]

    def _examples(self, lowest: Lowest, keys: np.ndarray) -> list[list[Example]]:
        """The firings of some keys, each in its order."""
        there = np.isfinite(lowest.score[keys])
        row, _ = np.nonzero(there)
        window = lowest.window[keys][there].astype(np.float32)
        context, position = np.divmod(lowest.place[keys][there], self._length)
        latent = (keys[row] // (len(lowest.score) // (2 * self._width))) % self._width
        scale = self.largest()[:, latent]
        shares = window / np.where(window > 0, scale[0][:, None], scale[1][:, None]).clip(1e-30)
        steps = np.sign(window) * np.ceil(STEPS * np.abs(shares)).clip(0, STEPS)
        at, offset = np.nonzero(steps)
        pairs = np.stack([offset - window.shape[1] // 2, steps[at, offset]], 1)
        flat = pairs.astype(np.int64).ravel().tolist()
        ends = 2 * np.cumsum(np.bincount(at, minlength=len(row)))
        starts = [0, *ends.tolist()]
        values = rounded(lowest.value[keys][there].tolist())
        found: list[list[Example]] = [[] for _ in keys]
        for n, (key, *place) in enumerate(
            zip(row.tolist(), context.tolist(), position.tolist(), strict=True)
        ):
            found[key].append([*place, values[n], flat[starts[n] : starts[n + 1]]])
        return found
