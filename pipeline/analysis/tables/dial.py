"""Stage: the tables of steering, from what each job of the dial found.

    python -m pipeline dial-tables --measures DIR --out tables/dial.csv

dial.csv has a row per direction with its score, dial_curves.csv one per direction and size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from pipeline.analysis.csv_files import write_csv
from pipeline.analysis.knob_columns import without_idle_k
from pipeline.study.dial import LATENT, PAIR, RANDOM, DialRun, Direction
from pipeline.study.measures import Measures
from pipeline.study.outputs import DIAL_CURVES
from sagsae.evaluation.dial_scores import Score, is_dial, score

PLACE = ("recipe", "model", "hookpoint", "seed", "comparison")
NAMES = ("kind", "rank", "variant", "width", "lam", "k", "l0", "latent_plus", "latent_minus")
KNOWN = ("cosine", "contribution", "own_size_plus", "own_size_minus")
SCORES = ("monotone", "symmetry", "gain", "times_random", "dial")
CURVES = ("effect", "effect_se", "kl")
REACHED = ("effect_minus", "effect_plus", "kl_minus", "kl_plus", "size", "unit")
MEASURED = ("contexts", "positions", "promoted_plus", "promoted_minus")
WHOLE = ("width", "latent_plus", "latent_minus")
"""Columns of whole numbers that a random direction has not."""


def dial_table(runs: Iterable[DialRun]) -> pd.DataFrame:
    """One row per direction of each job: random ones are the same for all comparisons of a place.

    ``own_size`` is the root mean square of what the latents add by themselves, ``effect`` and
    ``kl`` are at the extreme sizes, ``size`` is the largest. ``times_random`` is the gain over the
    median gain of the random directions of the same job.
    """
    rows = [row for run in runs for row in _rows(run)]
    columns = [*PLACE, *NAMES, *KNOWN, *SCORES, *REACHED, *MEASURED]
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(WHOLE, "Int64"))
    return without_idle_k(table)


def _rows(run: DialRun) -> Iterator[dict[str, Any]]:
    scores = [score(run.sizes, one.effect) for one in run.directions]
    judged = list(zip(run.directions, scores, strict=True))
    chance = median(found.gain for one, found in judged if one.kind == RANDOM)
    for one, found in judged:
        yield (
            _named(run, one)
            | _scored(found, chance)
            | {
                "effect_minus": one.effect[0],
                "effect_plus": one.effect[-1],
                "kl_minus": one.kl[0],
                "kl_plus": one.kl[-1],
                "size": run.sizes[-1],
                "unit": run.unit,
                "contexts": run.contexts,
                "positions": run.positions,
            }
        )


def _named(run: DialRun, one: Direction) -> dict[str, Any]:
    """What a direction is: where, of which cell, of which latents."""
    row = {name: getattr(run, name) for name in PLACE} | {"kind": one.kind, "rank": one.rank}
    side = {LATENT: run.candidate, PAIR: run.baseline, RANDOM: None}[one.kind]
    if side is not None:
        cell = side.cell
        row |= {name: getattr(cell, name) for name in ("variant", "width", "lam", "k")}
        row["l0"] = side.l0
    for name, values in (("latent", one.latents), ("own_size", one.own_sizes)):
        if values:
            row |= {f"{name}_plus": values[0], f"{name}_minus": values[-1]}
    for arm, tokens in zip(("plus", "minus"), one.promoted, strict=True):
        row[f"promoted_{arm}"] = json.dumps(tokens)
    return row | {"cosine": one.cosine, "contribution": one.contribution}


def _scored(found: Score, chance: float) -> dict[str, Any]:
    """A score, and the verdict, given the median gain of random directions."""
    times = found.gain / chance if chance > 0 else math.nan
    dial = is_dial(found.monotone, found.symmetry, times)
    return vars(found) | {"times_random": times, "dial": dial}


def curve_table(runs: Iterable[DialRun]) -> pd.DataFrame:
    """One row per direction and size."""
    rows = [
        {**{name: getattr(run, name) for name in PLACE}, "kind": one.kind, "rank": one.rank}
        | {"size": size, **{name: getattr(one, name)[i] for name in CURVES}}
        for run in runs
        for one in run.directions
        for i, size in enumerate(run.sizes)
    ]
    return pd.DataFrame(rows, columns=[*PLACE, "kind", "rank", "size", *CURVES])


def main(measures: Path, out: Path) -> None:
    """Run the stage.

    Args:
        measures: folder of the measures
        out: dial.csv; the curves go beside it
    """
    found = Measures(measures).dial_runs()
    write_csv(out, dial_table(found))
    write_csv(out.with_name(DIAL_CURVES), curve_table(found))
