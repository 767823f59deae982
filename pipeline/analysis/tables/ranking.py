"""ranking.csv: the rank of every sweep at every matched L0, all sweeps against all;
ranking_summary.csv: the mean ranks over (model, hookpoint) pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from pipeline.analysis.columns import Column
from pipeline.analysis.numbers import format_number
from pipeline.analysis.table import Table
from pipeline.analysis.tables.all_sweeps import ALL_SWEEPS
from pipeline.analysis.tables.sweeps import Sweeps, by_place, named_collapses
from pipeline.study.cell import SweepKey
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import sides, stem
from sagsae.comparison.ranking import Reading, Spread, mean_rank, pooled, read_at, standings
from sagsae.comparison.sweeps import Sweep

PLACE = ("recipe", "model", "hookpoint", "l0")
WHOLE = ("rank", "best_rank", "worst_rank", "of", "sides", "seeds", "parameters")
RANKED = (
    *("rank", "best_rank", "worst_rank", "of"),
    *("series", "variant", "width", "family", "sides", "home_recipe"),
    *("r2", "r2_se", "r2_quadratic", "seeds", "error_from", "loss_recovered", "dead_fraction"),
)
# Columns after those of probes.
COST = ("parameters", "tokens_per_second", "collapsed", "rank_reason")
SUMMED = ("recipe", "l0", "series", "variant", "pairs", "mean_rank", "low", "high", "first", "of")
RANKING = Table(
    "ranking",
    "All against all",
    reads="A rank is by R2 at one L0, read off each frontier. Best and worst rank count only "
    "sweeps that differ by more than two standard errors, and by more than a linear and a "
    "quadratic reading of either.",
    by=["recipe model hookpoint l0"],
    columns=[
        "series rank of best_rank worst_rank r2 loss_recovered dead_fraction accuracy_1 absorption",
        "parameters tokens_per_second error_from rank_reason collapsed",
    ],
    texts="home_recipe",
)
MEANS = Table(
    "ranking_summary",
    "Mean ranks",
    reads="A sweep has a mean rank if it is ranked at every pair of model and hookpoint. The "
    "interval holds 95 % of the means over pairs that are drawn anew.",
    by=["recipe l0"],
    columns=[
        "series variant pairs",
        Column("mean_rank", form="{:.1f}".format),
        "low high first of unranked",
    ],
)


@RANKING.made_from(ALL_SWEEPS)
def ranking_table(
    sweeps: Sweeps, names: Mapping[SweepKey, str], probed: Sweeps, spec: Scope
) -> pd.DataFrame:
    """One row per (recipe, model, hookpoint, matched L0, sweep), the best first; those that do not
    reach the L0 last.

    Args:
        sweeps: All of the study, see `sweeps_in`.
        names: The series of each.
        probed: Those that were probed, with what probes found of their cells.
        spec: Has recipes, places and matched L0.
    """
    found = {l0: sweeps_at(sweeps, probed, l0) for l0 in spec.matched_levels}
    parts = []
    for recipe, here in by_place(sweeps, spec):
        for l0, rows in found.items():
            named = dict(zip(PLACE, (recipe, *here[0][:2], l0), strict=True))
            table = pd.DataFrame(named | {"series": names[key]} | rows[key] for key in here)
            parts.append(_ranked(table))
    table = pd.concat(parts, ignore_index=True)
    probes = [name for name in map(str, table) if re.match("accuracy_|absorption", name)]
    return table[[*PLACE, *RANKED, *probes, *COST]].astype(dict.fromkeys(WHOLE, "Int64"))


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """The sweeps of one place at one L0, the best first, with their ranks."""
    able = table[table["r2"].notna()]
    placed = standings(*(able[name].to_numpy(float) for name in ("r2", "r2_se", "r2_quadratic")))
    ranks = pd.DataFrame([vars(one) for one in placed], able.index, ["rank", "best", "worst"])
    ranks = ranks.rename(columns={"best": "best_rank", "worst": "worst_rank"}).assign(of=len(able))
    return table.join(ranks.astype("Int64")).sort_values(["rank", "series"])


def sweeps_at(sweeps: Sweeps, probed: Sweeps, l0: float) -> dict[SweepKey, dict[str, Any]]:
    """What is known of every sweep at one L0."""
    readings = {
        key: read_at(sweep, "r2", l0)
        for key, sweep in sweeps.items()
        if sweep.frontier("r2").reaches(l0)
    }
    spreads = {
        recipe: pooled([one.by_seed for key, one in readings.items() if key.recipe == recipe])
        for recipe in {key.recipe for key in sweeps}
    }
    rows = {}
    for key, sweep in sweeps.items():
        values = [cell.values for cell in sweep.cells]
        speed = pd.Series([one.get("training_tokens_per_second") for one in values], dtype=float)
        rows[key] = {
            "variant": key.variant,
            "width": key.width,
            "family": stem(key.variant) if sides(key.variant) else "",
            "sides": sides(key.variant),
            "home_recipe": key.recipe,
            **_reading(readings.get(key), spreads[key.recipe]),
            "loss_recovered": _at(sweep, "loss_recovered", l0),
            "dead_fraction": _at(sweep, "dead_fraction", l0),
            **(_probes(probed[key], l0) if key in probed else {}),
            "parameters": values[0].get("parameters"),
            "tokens_per_second": speed.mean(),
            "collapsed": named_collapses([sweep]),
            "rank_reason": "" if key in readings else _why_not(sweep, l0),
        }
    return rows


def _reading(reading: Reading | None, spread: Spread | None) -> dict[str, Any]:
    """R2 of a sweep, its standard error and where that is from: its own seeds, or for one seed
    those of all sweeps that were trained under the same recipe."""
    if reading is None:
        return dict.fromkeys(("r2", "r2_se", "r2_quadratic", "seeds", "error_from"))
    row: dict[str, Any] = {"r2": reading.value, "r2_se": None, "r2_quadratic": reading.quadratic}
    row |= {"seeds": reading.by_seed.size, "error_from": ""}
    if reading.se is not None:
        row |= {"r2_se": reading.se, "error_from": "own seeds"}
    elif spread is not None and reading.by_seed.size:
        noun = "sweep" if spread.sweeps == 1 else "sweeps"
        row |= {"r2_se": spread.sd, "error_from": f"pooled from {spread.sweeps} {noun}"}
    return row


def _why_not(sweep: Sweep, l0: float) -> str:
    """Why a sweep has no rank at an L0."""
    reached = sweep.frontier("r2").l0
    if not reached.size:
        return "no intact point has L0 above zero"
    ends = " to ".join(format_number(float(end)) for end in reached[[0, -1]])
    return f"its L0 is {ends}, not {l0:g}"


def _at(sweep: Sweep, metric: str, l0: float) -> float | None:
    """A metric at one L0; None where it is undefined, or the L0 not reached."""
    if sweep.undefined(metric) or not (frontier := sweep.frontier(metric)).reaches(l0):
        return None
    return frontier.at(l0)


def _probes(sweep: Sweep, l0: float) -> dict[str, float | None]:
    """What probes found of a sweep at one L0: accuracy at the fewest sides, absorption."""
    known = [name for name in sweep.cells[0].values if name.startswith("accuracy_")]
    fewest = min(known, key=lambda name: int(name.removeprefix("accuracy_")))
    return {fewest: _at(sweep, fewest, l0), "absorption": _at(sweep, "fraction", l0)}


@MEANS.made_from(ALL_SWEEPS)
def summary_table(ranking: pd.DataFrame) -> pd.DataFrame:
    """One row per (recipe, matched L0, series): mean rank over (model, hookpoint) pairs, the lowest
    first; ``low`` and ``high`` enclose 95 % of bootstrap draws of pairs.

    Only series that are ranked at every pair have a mean: each pair then ranks the same series, of
    which ``of`` is the number. Their ranks are among these alone.
    """
    table = pd.DataFrame(_summaries(ranking), columns=[*SUMMED, "unranked"])
    return table.astype({"first": "Int64", "of": "Int64"})


def _summaries(ranking: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for (recipe, l0), here in ranking.groupby(["recipe", "l0"], sort=False):
        pairs = here.groupby(["model", "hookpoint"])
        at_every = here.groupby("series")["rank"].transform("count") == pairs.ngroups
        shared = here[at_every].groupby(["model", "hookpoint"])["r2"]
        ranks = shared.rank(method="min", ascending=False).astype(int)
        rows: list[dict[str, Any]] = []
        for series, found in here.groupby("series"):
            ranked = int(found["rank"].notna().sum())
            row = {"recipe": recipe, "l0": l0, "series": series, "pairs": ranked}
            row |= {"variant": found["variant"].iloc[0], "unranked": len(found) - ranked}
            if at_every[found.index].all():
                mean = vars(mean_rank(ranks[found.index].tolist()))
                row |= {name: mean[name] for name in ("low", "high", "first")}
                row |= {"mean_rank": mean["mean"], "of": here.loc[at_every, "series"].nunique()}
            rows.append(row)
        yield from sorted(rows, key=lambda row: row.get("mean_rank", float("inf")))
