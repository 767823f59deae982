"""ranking.csv and ranking_summary.csv: the rank of every sweep at each matched L0; mean ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.numbers import format_number
from pipeline.analysis.tables.sweeps import named_collapses, sweeps_under
from pipeline.study.cell import SweepKey
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import sides, stem
from sagsae.ranking import Reading, Spread, mean_rank, pooled, read_at, standings
from sagsae.sweeps import Sweep

PLACE = ("recipe", "model", "hookpoint", "l0")
WHOLE = ("rank", "best_rank", "worst_rank", "of", "sides", "seeds", "parameters")
RANKED = (
    *("rank", "best_rank", "worst_rank", "of"),
    *("series", "variant", "width", "family", "sides", "home_recipe"),
    *("r2", "r2_se", "seeds", "error_from", "loss_recovered", "lr_noisy", "dead_fraction"),
)
COST = ("parameters", "tokens_per_second", "collapsed", "rank_reason")
"""Columns after those of probes."""
SUMMARY = ("recipe", "l0", "series", "variant", "pairs", "mean_rank", "low", "high", "first", "of")
PROBED = {"fraction": "absorption"}
"""Columns of probed cells -> their names in ranking.csv; that of the accuracy has its k."""

Readings = dict[SweepKey, Reading]
Spreads = dict[str, Spread | None]


def ranking_table(
    sweeps: Mapping[SweepKey, Sweep],
    names: Mapping[SweepKey, str],
    probed: Mapping[SweepKey, Sweep],
    spec: Scope,
    noisy: set[tuple[str, str]],
) -> pd.DataFrame:
    """One row per (recipe, model, hookpoint, matched L0, sweep), the best first; those that do not
    reach the L0 last.

    Args:
        sweeps: All of the study, see `sweeps_in`.
        names: The series of each.
        probed: Those that were probed, with what probes found of their cells.
        spec: Has recipes, places and matched L0.
        noisy: (model, hookpoint) where Loss Recovered is noise.
    """
    rows: list[dict[str, Any]] = []
    found = {l0: readings(sweeps, l0) for l0 in spec.matched_levels}
    spreads = {l0: spreads_in(found[l0]) for l0 in spec.matched_levels}
    for recipe in spec.trained:
        under = keys_under(recipe, sweeps, spec)
        for model, hookpoint in spec.trained[recipe]:
            here = [key for key in under if (key.model, key.hookpoint) == (model, hookpoint)]
            for l0 in spec.matched_levels:
                place = dict(zip(PLACE, (recipe, model, hookpoint, l0), strict=True))
                place["lr_noisy"] = (model, hookpoint) in noisy
                ranked = _ranked(here, found[l0], spreads[l0])
                rows += [
                    place
                    | _row(key, sweeps[key], l0, ranked.get(key, {}), names[key])
                    | _probes(probed.get(key), l0)
                    for key in sorted(here, key=lambda key: _order(key, ranked, names))
                ]
    probes = list(dict.fromkeys(name for row in rows for name in row if _is_of_probes(name)))
    table = pd.DataFrame(rows, columns=[*PLACE, *RANKED, *probes, *COST])
    return table.astype(dict.fromkeys(WHOLE, "Int64"))


def keys_under(recipe: str, sweeps: Mapping[SweepKey, Sweep], spec: Scope) -> list[SweepKey]:
    """The sweeps that stand under a recipe, in sorted order."""
    return [
        SweepKey(model, hookpoint, variant, spec.home(recipe, variant), width)
        for model, hookpoint, variant, width in sweeps_under(recipe, dict(sweeps), spec)
    ]


def readings(sweeps: Mapping[SweepKey, Sweep], l0: float) -> Readings:
    """R2 at one L0 of every sweep that reaches it."""
    return {
        key: read_at(sweep, "r2", l0)
        for key, sweep in sweeps.items()
        if sweep.frontier("r2").reaches(l0)
    }


def _ranked(
    here: Sequence[SweepKey], found: Readings, spreads: Spreads
) -> dict[SweepKey, dict[str, Any]]:
    """Rank, value and error of the sweeps of one place that reach the L0.

    Args:
        here: The sweeps of the place.
        found: Of all places.
        spreads: The error of a sweep of one seed, by recipe.
    """
    able = [key for key in here if key in found]
    errors = {key: _error(found[key], spreads[key.recipe]) for key in able}
    placed = standings(
        np.array([found[key].value for key in able], np.float64),
        np.array([errors[key][0] for key in able], np.float64),
    )
    return {
        key: {
            "rank": one.rank,
            "best_rank": one.best,
            "worst_rank": one.worst,
            "of": len(able),
            "r2": found[key].value,
            "r2_se": errors[key][0],
            "seeds": found[key].by_seed.size,
            "error_from": errors[key][1],
        }
        for key, one in zip(able, placed, strict=True)
    }


def _error(reading: Reading, spread: Spread | None) -> tuple[float, str]:
    """Standard error of a reading and where it is from: its own seeds, or for one seed those of
    all sweeps that were trained under the same recipe."""
    if (own := reading.se) is not None:
        return own, "own seeds"
    if spread is None or not reading.by_seed.size:
        return float("nan"), ""
    return spread.sd, f"pooled from {spread.sweeps} sweep{'s' * (spread.sweeps > 1)}"


def spreads_in(found: Readings) -> Spreads:
    """The spread over seeds of all sweeps that were trained under each recipe."""
    return {
        recipe: pooled([one.by_seed for key, one in found.items() if key.recipe == recipe])
        for recipe in {key.recipe for key in found}
    }


def _order(
    key: SweepKey, ranked: Mapping[SweepKey, dict[str, Any]], names: Mapping[SweepKey, str]
) -> tuple[float, str]:
    return ranked[key]["rank"] if key in ranked else float("inf"), names[key]


def _row(
    key: SweepKey, sweep: Sweep, l0: float, ranked: Mapping[str, Any], name: str
) -> dict[str, Any]:
    speed = [cell.values.get("training_tokens_per_second") for cell in sweep.cells]
    known = [value for value in speed if value is not None]
    return {
        "series": name,
        **{field: getattr(key, field) for field in ("variant", "width")},
        "family": stem(key.variant) if sides(key.variant) else "",
        "sides": sides(key.variant),
        "home_recipe": key.recipe,
        **ranked,
        **{metric: _at(sweep, metric, l0) for metric in ("loss_recovered", "dead_fraction")},
        "parameters": sweep.cells[0].values.get("parameters"),
        "tokens_per_second": sum(known) / len(known) if known else None,
        "collapsed": named_collapses([sweep]),
        "rank_reason": "" if ranked else _why_not(sweep, l0),
    }


def _why_not(sweep: Sweep, l0: float) -> str:
    """Why a sweep has no rank at an L0."""
    reached = sweep.frontier("r2").l0
    if not reached.size:
        return "no point has L0 above zero"
    ends = " to ".join(format_number(float(end)) for end in reached[[0, -1]])
    return f"its L0 is {ends}, not {l0:g}"


def _at(sweep: Sweep, metric: str, l0: float) -> float | None:
    """A metric at one L0; None where it is undefined, or the L0 not reached."""
    if sweep.undefined(metric) or not (frontier := sweep.frontier(metric)).reaches(l0):
        return None
    return frontier.at(l0)


def _probes(sweep: Sweep | None, l0: float) -> dict[str, float | None]:
    """What probes found of a sweep at one L0: accuracy at the fewest sides, absorption."""
    if sweep is None:
        return {}
    values = sweep.cells[0].values
    ks = [int(name.removeprefix("accuracy_")) for name in values if name.startswith("accuracy_")]
    asked = {f"accuracy_{min(ks)}": f"accuracy_{min(ks)}"} if ks else {}
    return {name: _at(sweep, column, l0) for column, name in (asked | PROBED).items()}


def _is_of_probes(name: str) -> bool:
    return name.startswith("accuracy_") or name in PROBED.values()


def summary_table(ranking: pd.DataFrame) -> pd.DataFrame:
    """One row per (recipe, matched L0, series): mean rank over (model, hookpoint) pairs, the lowest
    first; ``low`` and ``high`` enclose 95 % of bootstrap draws of pairs.

    Only series that are ranked at every pair have a mean: each pair then ranks the same series, of
    which ``of`` is the number. Their ranks are among these alone.
    """
    table = pd.DataFrame(_summaries(ranking), columns=[*SUMMARY, "unranked"])
    return table.astype({"first": "Int64", "of": "Int64"})


def _summaries(ranking: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for (recipe, l0), here in ranking.groupby(["recipe", "l0"], sort=False):
        rows: list[dict[str, Any]] = []
        at_every = here.groupby("series")["rank"].transform("count") == len(
            here[["model", "hookpoint"]].drop_duplicates()
        )
        shared = here[at_every].groupby(["model", "hookpoint"])["r2"]
        ranks = shared.rank(method="min", ascending=False).astype(int)
        for series, found in here.groupby("series", sort=True):
            ranked = int(found["rank"].notna().sum())
            row: dict[str, Any] = {"recipe": recipe, "l0": l0, "series": series, "pairs": ranked}
            row |= {"variant": found["variant"].iloc[0], "unranked": len(found) - ranked}
            if at_every[found.index].all():
                mean = mean_rank(ranks[found.index].tolist())
                row |= {"mean_rank": mean.mean, "low": mean.low, "high": mean.high}
                row |= {"first": mean.first, "of": here.loc[at_every, "series"].nunique()}
            rows.append(row)
        yield from sorted(rows, key=lambda row: row.get("mean_rank", float("inf")))
