"""ranking.csv: the rank of every sweep at every matched L0, all sweeps against all;
ranking_summary.csv: the mean ranks over (model, hookpoint) pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.analysis.columns import Column
from pipeline.analysis.csv_files import read_table
from pipeline.analysis.numbers import format_number
from pipeline.analysis.table import Source, Table
from pipeline.analysis.tables.cells import CELLS
from pipeline.analysis.tables.probing import ABSORPTION, PROBING, probed_cells
from pipeline.analysis.tables.sweeps import (
    SWEEP,
    Sweeps,
    by_place,
    collapses,
    sweeps_in,
    with_series,
)
from pipeline.study.cell import SweepKey
from pipeline.study.measures import Measures
from pipeline.study.metrics import TRUTH
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import sides, stem
from sagsae.comparison.ranking import pooled, read_at, standings
from sagsae.comparison.sweeps import Floats, Sweep

PLACE = ["recipe", "model", "hookpoint", "l0"]
# Columns before and after those of probes.
RANKED = (
    "rank best_rank worst_rank of series variant width family sides home_recipe r2 r2_se "
    "r2_quadratic seeds error_from loss_recovered dead_fraction"
)
STANDING = ["rank", "best", "worst"]
COST = ["parameters", "tokens_per_second", "collapsed", "rank_reason"]
READ = ("r2", "r2_se", "freedom", "r2_quadratic", "seeds", "error_from")
# What `standings` reads of each sweep; freedom is of the error.
RANKED_BY = ("r2", "r2_se", "freedom", "r2_quadratic")


def _open(known: Measures, root: Path) -> dict[str, Any]:
    """``sweeps``, with every number of their cells; ``names``: the series of each; ``probed``:
    those that were probed, with what probes found of their cells; ``spec``."""
    spec, cells, probed = known.scope, read_table(root / CELLS.path), {}
    if PROBING.is_of(spec):
        probes = (read_table(root / table.path) for table in (PROBING, ABSORPTION))
        probed = sweeps_in(probed_cells(cells, *probes))
    return {
        "sweeps": sweeps_in(cells.assign(loss_added=cells["ce_sae"] - cells["ce_clean"])),
        "names": with_series(cells, spec).groupby(list(SWEEP))["series"].first().to_dict(),
        "probed": probed,
        "spec": spec,
    }


# All sweeps of a study of several families or with section signs: what ranks them reads this.
ALL_SWEEPS = Source(
    "ranking", _open, lambda scope: scope.ranks_all, tables=(CELLS, PROBING, ABSORPTION)
)
RANKING = Table(
    "ranking",
    "All against all",
    reads="A rank is by R² at one L0, read off each frontier. Best and worst rank count only "
    "sweeps whose difference has a 95 % interval (Student's t over seeds) without zero, and is "
    "more than that of a linear and a quadratic reading of either.",
    whole="rank best_rank worst_rank of sides seeds parameters",
    by=["recipe model hookpoint l0"],
    columns=[
        "series rank of best_rank worst_rank r2 loss_recovered dead_fraction f1 mcc",
        "features_found uniqueness accuracy_1 absorption",
        "parameters tokens_per_second error_from rank_reason collapsed",
    ],
    texts="home_recipe",
)
MEANS = Table(
    "ranking_summary",
    "Mean ranks",
    reads="A sweep has a mean rank if it is ranked at every hookpoint of every model. First: how "
    "often "
    "it is the best.",
    header="recipe l0 series variant pairs mean_rank first of unranked",
    whole="first of",
    by=["recipe l0"],
    columns=[
        "series variant pairs",
        Column("mean_rank", form="{:.1f}".format),
        "first of unranked",
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
    parts = []
    readings = {l0: _readings(sweeps, l0) for l0 in spec.matched_levels}
    for recipe, here in by_place(sweeps, spec):
        for l0, at in readings.items():
            rows = []
            for key in here:
                row = at[key] | _of_sweep(key, sweeps[key], l0)
                row |= _of_probes(probed[key], l0) if key in probed else {}
                rows.append(row | {"recipe": recipe, "l0": l0, "series": names[key]})
            parts.append(_ranked(pd.DataFrame(rows)))
    table = pd.concat(parts, ignore_index=True)
    truth = [name for name in TRUTH if name in table]
    probes = list(table.filter(regex="^accuracy_|^absorption$"))
    return table[[*PLACE, *RANKED.split(), *truth, *probes, *COST]]


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """The sweeps of one place at one L0, the best first, with their ranks."""
    able = table[table["r2"].notna()]
    placed = standings(*(able[name].to_numpy(float) for name in RANKED_BY))
    ranks = pd.DataFrame([vars(standing) for standing in placed], able.index, STANDING)
    ranks = ranks.rename(columns={"best": "best_rank", "worst": "worst_rank"}).assign(of=len(able))
    return table.join(ranks.astype("Int64")).sort_values(["rank", "series"])


def _readings(sweeps: Sweeps, l0: float) -> dict[SweepKey, dict[str, Any]]:
    """R2 of every sweep at one L0, its standard error and where that is from: its own seeds, or for
    one seed those of all sweeps that were trained under the same recipe."""
    rows: dict[SweepKey, dict[str, Any]] = {}
    samples: dict[str, list[Floats]] = {}
    for key, sweep in sweeps.items():
        if not sweep.frontier("r2").reaches(l0):
            rows[key] = dict.fromkeys(READ) | {"rank_reason": _why_not(sweep, l0)}
            continue
        reading = read_at(sweep, "r2", l0)
        samples.setdefault(key.recipe, []).append(reading.by_seed)
        se = reading.estimate.se
        origin = "" if se is None else "own seeds"
        seeds = reading.by_seed.size
        read = (reading.value, se, seeds - 1, reading.quadratic, seeds, origin)
        rows[key] = dict(zip(READ, read, strict=True)) | {"rank_reason": ""}
    for key, row in rows.items():
        spread = pooled(samples.get(key.recipe, []))
        if spread and row["seeds"] and row["r2_se"] is None:
            noun = "sweep" if spread.sweeps == 1 else "sweeps"
            row |= {"r2_se": spread.sd, "freedom": spread.freedom}
            row["error_from"] = f"pooled from {spread.sweeps} {noun}"
    return rows


def _why_not(sweep: Sweep, l0: float) -> str:
    """Why a sweep has no rank at an L0."""
    reached = sweep.frontier("r2").l0
    if not reached.size:
        return "no intact point has L0 above zero"
    ends = " to ".join(format_number(float(end)) for end in reached[[0, -1]])
    return f"its L0 is {ends}, not {l0:g}"


def _of_sweep(key: SweepKey, sweep: Sweep, l0: float) -> dict[str, Any]:
    """What a sweep is, costs, and has besides R2 at one L0."""
    values = [cell.values for cell in sweep.cells]
    speeds = [value.get("training_tokens_per_second") for value in values]
    return key._asdict() | {
        "family": stem(key.variant) if sides(key.variant) else "",
        "sides": sides(key.variant),
        "home_recipe": key.recipe,
        "loss_recovered": _at(sweep, "loss_recovered", l0),
        "dead_fraction": _at(sweep, "dead_fraction", l0),
        **{name: _at(sweep, name, l0) for name in TRUTH if name in values[0]},
        "parameters": values[0].get("parameters"),
        "tokens_per_second": pd.Series(speeds, dtype=float).mean(),
        "collapsed": "; ".join(collapses(sweep).values()),
    }


def _of_probes(sweep: Sweep, l0: float) -> dict[str, float | None]:
    """What probes found of a sweep at one L0: accuracy at the fewest sides, absorption."""
    known = [name for name in sweep.cells[0].values if name.startswith("accuracy_")]
    fewest = min(known, key=lambda name: int(name.removeprefix("accuracy_")))
    return {fewest: _at(sweep, fewest, l0), "absorption": _at(sweep, "fraction", l0)}


def _at(sweep: Sweep, metric: str, l0: float) -> float | None:
    """A metric at one L0; None where it is undefined, or the L0 not reached."""
    if sweep.undefined(metric) or not (frontier := sweep.frontier(metric)).reaches(l0):
        return None
    return frontier.at(l0)


@MEANS.made_from(ALL_SWEEPS)
def summary_table(ranking: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """One row per (recipe, matched L0, series): mean rank over (model, hookpoint) pairs, the lowest
    first.

    Only series that are ranked at every pair have a mean: each pair then ranks the same series, of
    which ``of`` is the number. Their ranks are among these alone.
    """
    for (recipe, l0), here in ranking.groupby(["recipe", "l0"], sort=False):
        pairs = here.groupby(["model", "hookpoint"]).ngroups
        at_every = here.groupby("series")["rank"].transform("count") == pairs
        shared = here[at_every]
        ranks = shared.groupby(["model", "hookpoint"])["r2"].rank(method="min", ascending=False)
        rows: list[dict[str, Any]] = []
        for series, lines in here.groupby("series"):
            ranked = int(lines["rank"].notna().sum())
            row = {"recipe": recipe, "l0": l0, "series": series, "pairs": ranked}
            row |= {"variant": lines["variant"].iloc[0], "unranked": len(lines) - ranked}
            if at_every[lines.index].all():
                own = ranks[lines.index]
                row |= {"mean_rank": own.mean(), "first": (own == 1).sum()}
                row["of"] = shared["series"].nunique()
            rows.append(row)
        yield from sorted(rows, key=lambda row: row.get("mean_rank", float("inf")))
