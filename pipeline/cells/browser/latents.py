"""The scripts of one cell: its index, and what is shown of each of its latents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.analysis.numbers import variant_label
from pipeline.analysis.tables.dial import judged
from pipeline.cells.browser.examples import Examples
from pipeline.cells.browser.page import CONTEXTS_PER_FILE, Vocabulary, column, rounded, write_script
from pipeline.study.cell import Cell
from pipeline.study.dial import LATENT, DialRun, Direction
from pipeline.study.metrics import CellMetrics
from sagsae.activations.tokens import TokenStore
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.gate import GatedAutoencoder
from sagsae.evaluation.profiles import Keep, Profiles
from sagsae.evaluation.steering.promoted import Promoted

LATENTS_PER_FILE = 64
# Promoted tokens of each sign that the index has, for the list and the search.
LISTED = 5


@dataclass(frozen=True)
class CellShown:
    """A cell, and the rival's latents that are nearest each of its own: numbers and cosines [H, 2],
    along and against."""

    metrics: CellMetrics
    rival: Cell | None
    near: tuple[Tensor, Tensor] | None
    sae: Autoencoder


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
        found: np.ndarray = torch.cat([theta, opens]).float().cpu().numpy()
    return found


class LatentsShown:
    """All that the page shows of the latents of a cell.

    Args:
        shown: the cell.
        profiles: what its latents do.
        promoted: which tokens they promote.
        tokens: the held-out contexts.
        dials: what steering found, with whatever cells.
    """

    def __init__(
        self,
        shown: CellShown,
        profiles: Profiles,
        promoted: Promoted,
        tokens: TokenStore,
        dials: Sequence[DialRun],
    ) -> None:
        self._shown, self._profiles, self._tokens = shown, profiles, tokens
        self._up, self._down = promoted.up.numpy(), promoted.down.numpy()
        self._scores = promoted.up_scores.numpy(), promoted.down_scores.numpy()
        self._examples = Examples(profiles, tokens.context_length)
        self._gate = gate_of(shown.sae)
        self._dials = dials_of(shown.metrics, dials)
        self.contexts = self._examples.contexts()

    @property
    def summary(self) -> dict[str, Any]:
        """What the list of cells says of it."""
        metrics, rival = self._shown.metrics, self._shown.rival
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
        width = self._shown.sae.width
        for number, first in enumerate(range(0, width, LATENTS_PER_FILE)):
            some = range(first, min(first + LATENTS_PER_FILE, width))
            firings = self._examples.of(some)
            value = [
                self._latent(i, vocabulary) | own for i, own in zip(some, firings, strict=True)
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
            "two_sided": bool(getattr(self._shown.sae, "two_sided", firings.count[1].any())),
            "latents_per_file": LATENTS_PER_FILE,
            "contexts_per_file": CONTEXTS_PER_FILE,
            "listed": min(LISTED, self._up.shape[1]),
            "window": Keep.window,
            "dials": sorted(self._dials),
            "columns": {name: column(values) for name, values in columns.items()},
        }

    def _latent(self, i: int, vocabulary: Vocabulary) -> dict[str, Any]:
        arms = zip((self._up, self._down), self._scores, strict=True)
        found: dict[str, Any] = {
            "promoted": [
                [vocabulary.numbers(ids[i]).tolist(), rounded(scores[i], 3)] for ids, scores in arms
            ],
        }
        if self._gate is not None:
            gate = self._gate[:, i].tolist()
            found["gate"] = [None if math.isinf(x) else rounded([x])[0] for x in gate]
        if self._shown.near is not None:
            numbers, cosines = (values[i].tolist() for values in self._shown.near)
            found["near"] = list(zip(numbers, rounded(cosines, 3), strict=True))
        if i in self._dials:
            found["dial"] = self._dials[i]
        return found


def dials_of(metrics: CellMetrics, runs: Sequence[DialRun]) -> dict[int, list[dict[str, Any]]]:
    """Latent -> what steering found with it, by itself or in a pair; none of other weights."""
    found: dict[int, list[dict[str, Any]]] = {}
    weights = metrics.made_from.weights_sha256
    for run in runs:
        for one, scores in judged(run):
            side = run.candidate if one.kind == LATENT else run.baseline
            if side is not None and side.weights_sha256 == weights:
                for latent in one.latents:
                    found.setdefault(latent, []).append(_dial(run, one, scores))
    return found


def _dial(run: DialRun, one: Direction, scores: dict[str, Any]) -> dict[str, Any]:
    times = scores["times_random"]
    return {
        **{name: getattr(one, name) for name in ("kind", "latents", "promoted")},
        "sizes": run.sizes,
        **{name: rounded(getattr(one, name)) for name in ("effect", "effect_se", "kl")},
        **{name: scores[name] for name in ("monotone", "symmetry", "dial")},
        "times_random": None if math.isnan(times) else times,
    }
