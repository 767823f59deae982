"""The tables of steering, from what each job of the dial found.

dial.csv has a row per direction with its score, dial_curves.csv one per direction and size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

import pandas as pd

from pipeline.analysis.columns import Column
from pipeline.analysis.numbers import times
from pipeline.analysis.table import Table
from pipeline.analysis.tables.sweeps import without_idle_k
from pipeline.study.dial import LATENT, PAIR, RANDOM, DialRun, Direction
from sagsae.evaluation.steering.dial_scores import is_dial, score

PLACE = ("recipe", "model", "hookpoint", "seed", "comparison")
COLUMNS = (
    *(*PLACE, "kind", "rank", "variant", "width", "lam", "k", "l0", "latent_plus", "latent_minus"),
    *("cosine", "contribution", "own_size_plus", "own_size_minus"),
    *("monotone", "symmetry", "gain", "times_random", "dial"),
    *("effect_minus", "effect_plus", "kl_minus", "kl_plus", "size", "unit"),
    *("contexts", "positions", "promoted_plus", "promoted_minus"),
)
# Columns of whole numbers that a random direction has not.
WHOLE = ("width", "latent_plus", "latent_minus")
MEASURED = ("effect", "effect_se", "kl")
DIAL = Table(
    "dial",
    "Causal dial",
    reads="An effect is the change of the logit difference at the largest size of one sense. "
    "A dial rises at every step, and further than random directions.",
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
CURVES = Table("dial_curves", "Dial curves", report=False)


@DIAL.made_from("dial")
def dial_table(runs: Iterable[DialRun]) -> pd.DataFrame:
    """One row per direction of each job: random ones are the same for all comparisons of a place.

    ``own_size`` is the root mean square of what the latents add by themselves, ``effect`` and
    ``kl`` are at the extreme sizes, ``size`` is the largest. ``times_random`` is the gain over the
    median gain of the random directions of the same job.
    """
    rows = [row for run in runs for row in _rows(run)]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(WHOLE, "Int64"))
    return without_idle_k(table)


def judged(run: DialRun) -> Iterator[tuple[Direction, dict[str, Any]]]:
    """Each direction with its score, and whether that makes it a dial."""
    scores = [score(run.sizes, one.effect) for one in run.directions]
    pairs = list(zip(run.directions, scores, strict=True))
    chance = median(found.gain for one, found in pairs if one.kind == RANDOM)
    for one, found in pairs:
        times = found.gain / chance if chance > 0 else math.nan
        dial = is_dial(found.monotone, found.symmetry, times)
        yield one, vars(found) | {"times_random": times, "dial": bool(dial)}


def _rows(run: DialRun) -> Iterator[dict[str, Any]]:
    shared = {name: getattr(run, name) for name in ("unit", "contexts", "positions")}
    for one, found in judged(run):
        row = _named(run, one) | found
        for side, i in (("minus", 0), ("plus", -1)):
            row |= {f"effect_{side}": one.effect[i], f"kl_{side}": one.kl[i]}
        yield row | shared | {"size": run.sizes[-1]}


def _named(run: DialRun, one: Direction) -> dict[str, Any]:
    """What a direction is: where, of which cell, of which latents."""
    row = _placed(run, one) | {"cosine": one.cosine, "contribution": one.contribution}
    side = {LATENT: run.candidate, PAIR: run.baseline, RANDOM: None}[one.kind]
    if side is not None:
        row |= {name: getattr(side.cell, name) for name in ("variant", "width", "lam", "k")}
        row["l0"] = side.l0
    for name, values in (("latent", one.latents), ("own_size", one.own_sizes)):
        if values:
            row |= {f"{name}_plus": values[0], f"{name}_minus": values[-1]}
    plus, minus = map(json.dumps, one.promoted)
    return row | {"promoted_plus": plus, "promoted_minus": minus}


def _placed(run: DialRun, one: Direction) -> dict[str, Any]:
    return {name: getattr(run, name) for name in PLACE} | {"kind": one.kind, "rank": one.rank}


@CURVES.made_from("dial")
def curve_table(runs: Iterable[DialRun]) -> pd.DataFrame:
    """One row per direction and size."""
    rows = [
        _placed(run, one) | {"size": size, **{name: getattr(one, name)[i] for name in MEASURED}}
        for run in runs
        for one in run.directions
        for i, size in enumerate(run.sizes)
    ]
    return pd.DataFrame(rows, columns=[*PLACE, "kind", "rank", "size", *MEASURED])
