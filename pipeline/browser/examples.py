"""What the page shows of a latent's firings: histogram, strongest contexts, samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.browser.scripts import rounded
from sagsae.evaluation.growing_bins import BINS
from sagsae.evaluation.profiles import INTERVALS, Profiles

STEPS = 255
"""Steps of the activations around a firing: that many are the strongest activation of the side."""


class Examples:
    """Firings of latents as JSON values.

    Args:
        profiles: what was collected.
        length: tokens of a context.
    """

    def __init__(self, profiles: Profiles, length: int) -> None:
        self._profiles, self._length = profiles, length
        self._width = profiles.bins.exponents.shape[1]

    def contexts(self) -> np.ndarray:
        """Numbers of the contexts that are shown, ascending."""
        heaps = self._profiles.strongest, self._profiles.drawn
        places = [heap.place[np.isfinite(heap.score)] for heap in heaps]
        return np.unique(np.concatenate(places) // self._length)

    def extreme(self, side: int) -> np.ndarray:
        """[H] float32, the largest size of an activation of one sign; 0 where there is none."""
        mine = slice(side * self._width, (side + 1) * self._width)
        strongest = self._profiles.strongest
        there = np.isfinite(strongest.score[mine, 0])
        found: np.ndarray = np.where(there, np.abs(strongest.value[mine, 0]), 0).astype(np.float32)
        return found

    def histogram(self, latent: int) -> dict[str, Any]:
        """Counts in bins of one width on both sides, from zero outwards, to the last that is used.

        The side whose bins are narrower has them merged.
        """
        bins = self._profiles.bins
        exponents, counts = bins.exponents[:, latent], bins.counts[:, latent]
        largest = int(exponents.max())
        shown = []
        for side in range(2):
            merged = 2 ** min(largest - int(exponents[side]), 30)
            own = counts[side]
            if merged > 1:
                whole = max(1, BINS // merged)
                own = own.reshape(whole, -1).sum(1)
            used = np.flatnonzero(own)
            shown.append(own[: used[-1] + 1 if len(used) else 0].tolist())
        width = 2.0**largest / BINS if any(shown) else 0.0
        return {"bin": width, "positive": shown[0], "negative": shown[1]}

    def strongest(self, latent: int) -> list[list[Any]]:
        """Of either sign, the strongest firing of each of some contexts."""
        heaps, scale = self._profiles.strongest, self._scale(latent)
        return [
            [
                self._example(heaps.place[key, i], heaps.value[key, i], heaps.window[key, i], scale)
                for i in np.flatnonzero(np.isfinite(heaps.score[key]))
            ]
            for key in (latent, self._width + latent)
        ]

    def drawn(self, latent: int) -> list[list[Any]]:
        """Of either sign, the intervals that have firings, from the strongest on: ends, number of
        firings, and those that were drawn; what stands among the strongest is left out."""
        heaps, bins, scale = self._profiles.drawn, self._profiles.bins, self._scale(latent)
        found = []
        for side in range(2):
            base, intervals = side * self._width + latent, []
            top = self._profiles.strongest
            known = set(top.place[base][np.isfinite(top.score[base])].tolist())
            counts = bins.counts[side, latent].reshape(INTERVALS, -1).sum(1)
            part = 2.0 ** int(bins.exponents[side, latent]) / INTERVALS if counts.any() else 0.0
            for interval in range(INTERVALS - 1, -1, -1):
                if not counts[interval]:
                    continue
                key = base * INTERVALS + interval
                there = [
                    i
                    for i in np.flatnonzero(np.isfinite(heaps.score[key]))
                    if int(heaps.place[key, i]) not in known
                ]
                examples = [
                    self._example(heaps.place[key, i], heaps.value[key, i], heaps.window[key, i], scale)
                    for i in there
                ]
                ends = rounded([interval * part, (interval + 1) * part])
                intervals.append([*ends, int(counts[interval]), examples])
            found.append(intervals)
        return found

    def _scale(self, latent: int) -> tuple[float, float]:
        positive, negative = (float(self.extreme_of(side, latent)) for side in range(2))
        return positive or 1.0, negative or 1.0

    def extreme_of(self, side: int, latent: int) -> float:
        """`extreme` of one latent."""
        key = side * self._width + latent
        strongest = self._profiles.strongest
        return abs(float(strongest.value[key, 0])) if np.isfinite(strongest.score[key, 0]) else 0.0

    def _example(
        self, place: np.int64, value: np.float32, window: np.ndarray, scale: tuple[float, float]
    ) -> list[Any]:
        """Context, position, z, and the activations around: offset and step in turn."""
        context, position = divmod(int(place), self._length)
        reach, around = len(window) // 2, []
        for at in np.flatnonzero(window).tolist():
            z = float(window[at])
            step = max(1, min(STEPS, round(STEPS * abs(z) / scale[z < 0])))
            around += [at - reach, step if z > 0 else -step]
        return [context, position, *rounded([float(value)]), around]
