"""The tables of consistency, poles and starts, from what each job of section signs found.

consistency.csv has a row per lambda or k of a sweep with several seeds, poles.csv one per two-sided
cell that has a one-sided form of twice its width, starts.csv one per cell. Numbers that rest on a
collapsed cell are absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from statistics import fmean
from typing import Any

import pandas as pd

from pipeline.analysis.columns import Column
from pipeline.analysis.numbers import plain
from pipeline.analysis.table import Table
from pipeline.analysis.tables.sweeps import without_idle_k
from pipeline.study.cell import KNOBS
from pipeline.study.signs import SignsRun

POINT = ("recipe", "model", "hookpoint", "variant", "width", *KNOBS)
AGREEMENT = ("greedy", "assigned", "found")
OUTCOMES = ("both", "one", "neither")
# By their cosine alone.
ALONG = ("along", "stronger", "weaker")
COUNTED = ("live", "two_sided")
STARTED = ("dead_against", "dead_along")
# Of the one-sided form of a cell.
WITNESS = ("variant", "lam", "seed", "l0", "live", "opposite", "alike")
CONSISTENCY = Table(
    "consistency",
    "Seed consistency",
    reads="Means of the best cosine of a live latent with one of another seed, and of that in "
    "one-to-one pairs. Found: the share with .7 or more in every seed that is not collapsed.",
    by=["recipe model hookpoint"],
    columns=["variant width lam k l0 seeds greedy assigned found collapsed"],
)
POLES = Table(
    "poles",
    "Poles of two-sided latents",
    reads="Shares of the latents whose rarer sign has a tenth of the firings: both poles, one "
    "or neither have a match in the one-sided dictionary of twice the width. Its pairs of live "
    "latents are opposite at a cosine of -.7, alike at .7.",
    by=["recipe model hookpoint"],
    columns=[
        "variant width lam k seed l0 two_sided_share latents both_share one_share neither_share",
        "along stronger weaker",
        Column("one_sided_lam", "One-sided λ", plain),
        Column("one_sided_l0", "One-sided L0"),
        "one_sided_opposite one_sided_alike",
    ],
    texts="one_sided_variant",
)
STARTS = Table(
    "starts",
    "Dead latents by where they began",
    reads="Shares of dead latents: of all, and of the quarters whose first rows point most "
    "against and most along the mean of the activations.",
    by=["recipe model hookpoint"],
    columns=["variant width lam k seed l0 dead dead_against dead_along"],
)


@CONSISTENCY.made_from("signs")
def consistency_table(runs: Iterable[SignsRun]) -> pd.DataFrame:
    """One row per point: ``seeds`` and mean ``l0`` of the cells that are compared, ``collapsed``
    the seeds of the others; the rest is as in ``sagsae.Consistency``."""
    rows = [row for run in runs for row in _points(run)]
    columns = [*POINT, "seeds", *AGREEMENT, "l0", "collapsed"]
    return without_idle_k(pd.DataFrame(rows, columns=columns))


def _points(run: SignsRun) -> Iterator[dict[str, Any]]:
    compared = {one.cells[0]: one for one in run.agreements}
    own = [one for one in run.cells if one.cell.recipe == run.recipe]
    for _, point in groupby(own, key=lambda one: (one.cell.sweep, one.cell.knob)):
        cells = list(point)
        if len(cells) < 2:
            continue
        sound = [one for one in cells if not one.collapsed]
        agreement = compared.get(sound[0].cell) if sound else None
        yield {
            **_named(cells[0].cell, POINT),
            "seeds": len(sound),
            **{name: getattr(agreement, name, None) for name in AGREEMENT},
            "l0": fmean(one.l0 for one in sound) if sound else None,
            "collapsed": ", ".join(f"seed {one.cell.seed}" for one in cells if one.collapsed),
        }


@POLES.made_from("signs")
def poles_table(runs: Iterable[SignsRun]) -> pd.DataFrame:
    """One row per two-sided cell. ``latents`` are those that are two-sided on the rows of the run;
    of these are ``both``, ``one`` and ``neither``, see ``sagsae.Poles``. Columns ``one_sided_...``
    are of the one-sided cell, whose pairs are as in
    ``sagsae.evaluation.signs.SignedPairs``."""
    rows = [row for run in runs for row in _pairs(run)]
    columns = [*POINT, "seed", "l0", *COUNTED, "two_sided_share", "latents", *OUTCOMES]
    columns += [f"{name}_share" for name in OUTCOMES]
    columns += [*ALONG, *(f"one_sided_{name}" for name in WITNESS)]
    return without_idle_k(pd.DataFrame(rows, columns=columns))


def _pairs(run: SignsRun) -> Iterator[dict[str, Any]]:
    known = {one.cell: one for one in run.cells}
    for found in run.poles:
        cell, witness = known[found.cell], known[found.one_sided]
        outcomes = _named(found, OUTCOMES)
        latents = sum(outcomes.values())
        shares = {f"{name}_share": n / latents for name, n in outcomes.items() if latents}
        of_witness = _named(witness.cell, WITNESS[:3]) | _named(witness, WITNESS[3:])
        yield {
            **_named(cell.cell, (*POINT, "seed")),
            **_named(cell, ("l0", *COUNTED)),
            "two_sided_share": cell.two_sided / cell.live,
            "latents": latents,
            **outcomes,
            **shares,
            **_named(found, ALONG),
            **{f"one_sided_{name}": value for name, value in of_witness.items()},
        }


@STARTS.made_from("signs")
def starts_table(runs: Iterable[SignsRun]) -> pd.DataFrame:
    """One row per cell that is not collapsed, see ``sagsae.evaluation.signs``: ``dead`` is
    the share of all its latents."""
    rows = [
        {
            **_named(one.cell, (*POINT, "seed")),
            "l0": one.l0,
            "dead": 1 - one.live / one.cell.width,
            **_named(one, STARTED),
        }
        for run in runs
        for one in run.cells
        if one.cell.recipe == run.recipe and not one.collapsed
    ]
    return without_idle_k(pd.DataFrame(rows, columns=[*POINT, "seed", "l0", "dead", *STARTED]))


def _named(of: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(of, name) for name in names}
