"""The tables of steering, from what each job of the dial found.

dial.csv has a row per direction with its score, dial_curves.csv one per direction and size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

from pipeline.analysis.columns import Column
from pipeline.analysis.numbers import times
from pipeline.analysis.table import Table
from pipeline.study.dial import LATENT, PAIR, RANDOM, DialRun, Direction
from sagsae.evaluation.steering.dial_scores import is_dial, score

PLACE = ("recipe", "model", "hookpoint", "seed", "comparison")
DIRECTION = f"{' '.join(PLACE)} kind rank"
DIAL = Table(
    "dial",
    "Causal dial",
    reads="An effect is the change of the logit difference at the largest size of one sense. "
    "A dial rises at every step, and further than random directions.",
    header=f"{DIRECTION} variant width lam k l0 latent_plus latent_minus cosine contribution "
    "own_size_plus own_size_minus monotone symmetry gain times_random dial effect_minus "
    "effect_plus kl_minus kl_plus size unit contexts positions promoted_plus promoted_minus",
    whole="width latent_plus latent_minus",
    by=["recipe model hookpoint comparison"],
    columns=[
        "kind variant seed latent_plus latent_minus",
        Column("monotone", form="{:.0%}".format),
        "symmetry effect_minus effect_plus",
        Column("times_random", form=times),
        "dial",
    ],
    texts="promoted_plus promoted_minus",
    prepare=lambda table: table[table["kind"] != RANDOM],
)
CURVES = Table(
    "dial_curves", "Dial curves", header=f"{DIRECTION} size effect effect_se kl", report=False
)


@DIAL.made_from("dial")
def dial_table(runs: Iterable[DialRun]) -> Iterator[dict[str, Any]]:
    """One row per direction of each job: random ones are the same for all comparisons of a place.

    ``own_size`` is the root mean square of what the latents add by themselves, ``effect`` and
    ``kl`` are at the extreme sizes, ``size`` is the largest. ``times_random`` is the gain over the
    median gain of the random directions of the same job.
    """
    for run in runs:
        cells = {LATENT: run.candidate, PAIR: run.baseline}
        for direction, scores in judged(run):
            side = cells.get(direction.kind)
            row = vars(side.cell) | {"l0": side.l0} if side else {}
            row |= vars(run) | vars(direction) | scores | {"size": run.sizes[-1]}
            ends: dict[str, list[Any]] = {"effect": direction.effect, "kl": direction.kl}
            ends |= {"promoted": [json.dumps(texts) for texts in reversed(direction.promoted)]}
            ends |= {"latent": direction.latents[::-1], "own_size": direction.own_sizes[::-1]}
            for name, values in ends.items():
                if values:
                    row |= {f"{name}_minus": values[0], f"{name}_plus": values[-1]}
            yield row


def judged(run: DialRun) -> Iterator[tuple[Direction, dict[str, Any]]]:
    """Each direction with its score, and whether that makes it a dial."""
    scores = [score(run.sizes, direction.effect) for direction in run.directions]
    pairs = list(zip(run.directions, scores, strict=True))
    chance = median(scored.gain for direction, scored in pairs if direction.kind == RANDOM)
    for direction, scored in pairs:
        times = scored.gain / chance if chance > 0 else math.nan
        dial = is_dial(scored.monotone, scored.symmetry, times)
        yield direction, vars(scored) | {"times_random": times, "dial": bool(dial)}


@CURVES.made_from("dial")
def curve_table(runs: Iterable[DialRun]) -> Iterator[dict[str, Any]]:
    """One row per direction and size."""
    for run in runs:
        for direction in run.directions:
            row = vars(run) | vars(direction)
            for i, size in enumerate(run.sizes):
                measured = {name: row[name][i] for name in ("effect", "effect_se", "kl")}
                yield row | measured | {"size": size}
