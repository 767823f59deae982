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

from pipeline.analysis.columns import Column
from pipeline.analysis.numbers import plain
from pipeline.analysis.table import Table
from pipeline.study.signs import SignedCell, SignsRun

POINT = "recipe model hookpoint variant width lam k"
BY = ["recipe model hookpoint"]
OUTCOMES = ("both", "one", "neither")
CONSISTENCY = Table(
    "consistency",
    "Stability across seeds",
    reads="Means of the best cosine of a live latent with one of another seed, and of that in "
    "one-to-one pairs. Found: the share with .7 or more in every seed that is not collapsed.",
    header=f"{POINT} seeds greedy assigned found l0 collapsed",
    by=BY,
    columns=["variant width lam k l0 seeds greedy assigned found collapsed"],
)
POLES = Table(
    "poles",
    "Poles of signed latents",
    reads="Shares of the latents whose rarer sign has at least a tenth of the activations: both "
    "poles, "
    "one or neither have a match in the unsigned dictionary of twice the width. Its pairs of live "
    "latents are opposite at a cosine of -.7, alike at .7.",
    header=f"{POINT} seed l0 live two_sided two_sided_share latents both one neither both_share "
    "one_share neither_share along stronger weaker one_sided_variant one_sided_lam one_sided_seed "
    "one_sided_l0 one_sided_live one_sided_opposite one_sided_alike",
    by=BY,
    columns=[
        "variant width lam k seed l0 two_sided_share latents both_share one_share neither_share",
        "along stronger weaker",
        Column("one_sided_lam", "Unsigned λ", plain),
        Column("one_sided_l0", "Unsigned L0"),
        "one_sided_opposite one_sided_alike",
    ],
    texts="one_sided_variant",
)
STARTS = Table(
    "starts",
    "Dead latents by initial direction",
    reads="Shares of dead latents: of all, and of the quarters whose initial encoder rows point "
    "most "
    "against and most along the mean of the activations.",
    header=f"{POINT} seed l0 dead dead_against dead_along",
    by=BY,
    columns=["variant width lam k seed l0 dead dead_against dead_along"],
)


@CONSISTENCY.made_from("signs")
def consistency_table(runs: Iterable[SignsRun]) -> Iterator[dict[str, Any]]:
    """One row per point of several seeds, see ``sagsae.Consistency``.

    Columns:
        greedy: mean of a latent's best cosine with any latent of another seed
        assigned: mean cosine of the one-to-one pairs whose sum is largest
        found: share of latents with a cosine of 0.7 or more in every other seed
        seeds, l0: how many seeds are compared; their mean L0
        collapsed: seeds that are not compared
    """
    for run in runs:
        agreements = {agreement.cells[0]: vars(agreement) for agreement in run.agreements}
        cells = (signed for signed in run.cells if signed.cell.recipe == run.recipe)
        for _, seeds in groupby(cells, key=lambda signed: (signed.cell.sweep, signed.cell.knob)):
            point = list(seeds)
            sound = [signed for signed in point if not signed.collapsed]
            lost = (signed.cell.seed for signed in point if signed.collapsed)
            row = vars(point[0].cell) | {"collapsed": ", ".join(f"seed {seed}" for seed in lost)}
            if sound:
                row |= {"l0": fmean(signed.l0 for signed in sound)}
                row |= agreements.get(sound[0].cell, {})
            if len(point) > 1:
                yield row | {"seeds": len(sound)}


@POLES.made_from("signs")
def poles_table(runs: Iterable[SignsRun]) -> Iterator[dict[str, Any]]:
    """One row per two-sided cell, see ``sagsae.Poles`` and ``sagsae.evaluation.signs.SignedPairs``.

    Columns:
        live: live latents
        two_sided, two_sided_share: two-sided latents on the whole held-out split; their share
        latents: two-sided latents on the rows that are read
        both, one, neither: latents by how many of their poles have a match
        both_share, one_share, neither_share: the same as shares
        along: latents whose two poles have a cosine of at least 0.7, whatever fires
        stronger, weaker: mean best cosine of a latent's better pole, and of its other pole
        one_sided_lam, one_sided_l0: the one-sided cell that is compared; likewise its other columns
        one_sided_opposite: pairs of live latents of the one-sided cell with a cosine of -0.7 or
            less
        one_sided_alike: the same of 0.7 or more: what chance gives if signs mean nothing
    """
    for run in runs:
        known = {signed.cell: _named(signed) for signed in run.cells}
        for poles in run.poles:
            row = known[poles.cell] | vars(poles)
            row |= {f"one_sided_{name}": value for name, value in known[poles.one_sided].items()}
            row["two_sided_share"] = row["two_sided"] / row["live"]
            row["latents"] = sum(row[name] for name in OUTCOMES)
            for name in OUTCOMES if row["latents"] else ():
                row[f"{name}_share"] = row[name] / row["latents"]
            yield row


@STARTS.made_from("signs")
def starts_table(runs: Iterable[SignsRun]) -> Iterator[dict[str, Any]]:
    """One row per cell that is not collapsed, see ``sagsae.evaluation.signs``.

    Columns:
        dead: share of dead latents on the held-out split
        dead_against: the same of the quarter of latents whose first row points most against the
            mean of the activations
        dead_along: the same of the quarter whose first row points most along the mean
    """
    for run in runs:
        for signed in run.cells:
            if signed.cell.recipe == run.recipe and not signed.collapsed:
                yield _named(signed) | {"dead": 1 - signed.live / signed.cell.width}


def _named(signed: SignedCell) -> dict[str, Any]:
    return vars(signed) | vars(signed.cell)
