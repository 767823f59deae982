"""The scripts of one cell: its index, and of each latent histogram, firings, tokens and dials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.analysis.numbers import variant_label
from pipeline.analysis.tables.dial import judged
from pipeline.cells.browser.page import CONTEXTS_PER_FILE, Vocabulary, column, rounded, write_script
from pipeline.study.cell import Cell
from pipeline.study.dial import LATENT, DialRun, Direction
from pipeline.study.metrics import CellMetrics
from sagsae.activations.tokens import TokenStore
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.gated import GatedAutoencoder
from sagsae.evaluation.profiles import BINS, INTERVALS, Keep, Lowest, Profiles
from sagsae.evaluation.steering.promoted import Promoted

LATENTS_PER_FILE = 64
# Promoted tokens of each sign that the index has, for the list and the search.
LISTED = 5


def gate_of(sae: Autoencoder) -> np.ndarray | None:
    """[4, H] theta+, theta-, and the size of z at which either side opens; infinite where a side
    never opens. None for an autoencoder without a gate."""
    if not isinstance(sae, GatedAutoencoder):
        return None
    vectors = {name: sae.get_parameter(name) for name in sae.vectors}
    with torch.inference_mode():
        theta, r, c = torch.stack(sae.sides(vectors)).unflatten(0, (3, 2))
        shut = theta.isinf()
        opens = (theta.where(~shut, 0) * r.exp() + c).clamp_min(0)
        opens = opens.where(~shut, torch.inf)
        gate: np.ndarray = torch.cat([theta, opens]).float().cpu().numpy()
    return gate


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
        kept = self._strongest, self._drawn
        places = [lowest.place[np.isfinite(lowest.score)] for lowest in kept]
        return np.unique(np.concatenate(places) // self._length)

    def largest(self) -> np.ndarray:
        """[2, H] float32, the largest size of an activation of either sign; 0 where there is none.

        The strongest firings are kept, so it is among them.
        """
        there = np.isfinite(self._strongest.score[:, 0])
        sizes = np.where(there, np.abs(self._strongest.value[:, 0]), 0)
        return sizes.astype(np.float32).reshape(2, self._width)

    def of(self, latents: Sequence[int]) -> list[dict[str, Any]]:
        """Histogram, strongest firings by sign, and firings drawn from intervals by sign."""
        keys = np.array([[side * self._width + i for side in range(2)] for i in latents])
        strongest = self._examples(self._strongest, keys.ravel())
        intervals = keys[..., None] * INTERVALS + np.arange(INTERVALS)
        drawn = self._examples(self._drawn, intervals.ravel())
        shown: list[dict[str, Any]] = []
        for n, i in enumerate(latents):
            by_side = []
            for side, best in enumerate(strongest[2 * n : 2 * n + 2]):
                known, at = {tuple(example[:2]) for example in best}, (2 * n + side) * INTERVALS
                others = [
                    [example for example in part if tuple(example[:2]) not in known]
                    for part in drawn[at : at + INTERVALS]
                ]
                by_side.append(self._intervals(side, i, others))
            best = strongest[2 * n : 2 * n + 2]
            shown.append({"histogram": self.histogram(i), "strongest": best, "drawn": by_side})
        return shown

    def histogram(self, latent: int) -> dict[str, Any]:
        """Counts in bins of one width on both sides, from zero outwards, to the last that is used.

        The side whose bins are narrower has them merged.
        """
        exponents, counts = self._bins.exponents[:, latent], self._bins.counts[:, latent]
        widest, shown = int(exponents.max()), []
        for exponent, firings in zip(exponents.tolist(), counts, strict=True):
            left = max(1, BINS >> min(widest - exponent, BINS))
            merged = firings.reshape(left, -1).sum(1)
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
        examples: list[list[Example]] = [[] for _ in keys]
        places = zip(row.tolist(), context.tolist(), position.tolist(), strict=True)
        for n, (key, *place) in enumerate(places):
            examples[key].append([*place, values[n], flat[starts[n] : starts[n + 1]]])
        return examples


class LatentsShown:
    """All that the page shows of the latents of a cell.

    Args:
        metrics: those of the cell.
        sae: its autoencoder.
        rival: the cell beside it, and its latents that are nearest each of the cell's own: numbers
            and cosines [H, 2], along and against.
        profiles: what its latents do.
        promoted: which tokens they promote, with logits per unit of activation.
        tokens: the held-out contexts.
        dials: what steering found, with whatever cells.
    """

    def __init__(
        self,
        metrics: CellMetrics,
        sae: Autoencoder,
        rival: tuple[Cell, tuple[Tensor, Tensor]] | None,
        profiles: Profiles,
        promoted: Promoted,
        tokens: TokenStore,
        dials: Sequence[DialRun],
    ) -> None:
        self._metrics, self._sae, self._profiles, self._tokens = metrics, sae, profiles, tokens
        self._rival = rival[0] if rival else None
        self._near = rival[1] if rival else None
        self._up, self._down = promoted.up.numpy(), promoted.down.numpy()
        self._logits = promoted.up_scores.numpy(), promoted.down_scores.numpy()
        self._examples = Examples(profiles, tokens.context_length)
        self._gate = gate_of(sae)
        self._dials = dials_of(metrics, dials)
        self.contexts = self._examples.contexts()

    @property
    def summary(self) -> dict[str, Any]:
        """What the list of cells says of it."""
        metrics, rival = self._metrics, self._rival
        cell = metrics.cell
        shared = {name: getattr(cell, name) for name in ("model", "hookpoint", "width", "seed")}
        return shared | {
            "name": cell.path,
            "variant": variant_label(cell.variant),
            "recipe": cell.recipe,
            **({"lambda": cell.lam} if cell.k is None else {"k": cell.k}),
            "l0": metrics.l0,
            "r2": metrics.r2,
            "dead": metrics.dead_latents,
            "collapsed": metrics.collapsed,
            "tokens": self._profiles.tokens,
            "rival": rival.path if rival else None,
            "rival_label": f"{variant_label(rival.variant)}, H = {rival.width}" if rival else None,
        }

    def token_ids(self) -> np.ndarray:
        """Ids of the promoted tokens."""
        return np.unique(np.concatenate([self._up.ravel(), self._down.ravel()]))

    def write(self, folder: Path, vocabulary: Vocabulary) -> int:
        """Write index, latents and contexts; bytes written."""
        size = write_script(folder, "index", self._index(vocabulary))
        width = self._sae.width
        for number, first in enumerate(range(0, width, LATENTS_PER_FILE)):
            some = range(first, min(first + LATENTS_PER_FILE, width))
            firings = self._examples.of(some)
            value = [
                self._latent(i, vocabulary) | shown for i, shown in zip(some, firings, strict=True)
            ]
            size += write_script(folder, f"latents-{number}", value)
        return size + vocabulary.write_contexts(folder, self._tokens, self.contexts)

    def _index(self, vocabulary: Vocabulary) -> dict[str, Any]:
        firings = self._profiles.firings
        energy, largest = firings.energy.sum(0), self._examples.largest()
        columns = {
            "positive": firings.count[0].numpy(),
            "negative": firings.count[1].numpy(),
            "slope_positive": firings.slopes[0].numpy(),
            "slope_negative": firings.slopes[1].numpy(),
            "contribution": (energy / energy.sum()).numpy(),
            "largest_positive": largest[0],
            "largest_negative": largest[1],
            "up": vocabulary.numbers(self._up[:, :LISTED]),
            "down": vocabulary.numbers(self._down[:, :LISTED]),
        }
        return self.summary | {
            "two_sided": bool(getattr(self._sae, "two_sided", firings.count[1].any())),
            "latents_per_file": LATENTS_PER_FILE,
            "contexts_per_file": CONTEXTS_PER_FILE,
            "listed": min(LISTED, self._up.shape[1]),
            "window": Keep.window,
            "dials": sorted(self._dials),
            "columns": {name: column(values) for name, values in columns.items()},
        }

    def _latent(self, i: int, vocabulary: Vocabulary) -> dict[str, Any]:
        arms = zip((self._up, self._down), self._logits, strict=True)
        tokens = [
            [vocabulary.numbers(ids[i]).tolist(), rounded(logits[i], 3)] for ids, logits in arms
        ]
        shown: dict[str, Any] = {"promoted": tokens}
        if self._gate is not None:
            gate = self._gate[:, i].tolist()
            shown["gate"] = [None if math.isinf(x) else rounded([x])[0] for x in gate]
        if self._near is not None:
            numbers, cosines = (values[i].tolist() for values in self._near)
            shown["near"] = list(zip(numbers, rounded(cosines, 3), strict=True))
        if i in self._dials:
            shown["dial"] = self._dials[i]
        return shown


def dials_of(metrics: CellMetrics, runs: Sequence[DialRun]) -> dict[int, list[dict[str, Any]]]:
    """Latent -> what steering found with it, by itself or in a pair; none of other weights."""
    dials: dict[int, list[dict[str, Any]]] = {}
    weights = metrics.made_from.weights_sha256
    for run in runs:
        for direction, scores in judged(run):
            side = run.candidate if direction.kind == LATENT else run.baseline
            if side is not None and side.weights_sha256 == weights:
                for latent in direction.latents:
                    dials.setdefault(latent, []).append(_dial(run, direction, scores))
    return dials


def _dial(run: DialRun, along: Direction, scores: dict[str, Any]) -> dict[str, Any]:
    times = scores["times_random"]
    return {
        **{name: getattr(along, name) for name in ("kind", "latents", "promoted")},
        "sizes": run.sizes,
        **{name: rounded(getattr(along, name)) for name in ("effect", "effect_se", "kl")},
        **{name: scores[name] for name in ("monotone", "symmetry", "dial")},
        "times_random": None if math.isnan(times) else times,
    }
