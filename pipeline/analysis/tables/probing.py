"""The tables of probing and absorption, from what each job of the probes found.

probing.csv has a row per cell, kind of label and number of sides, absorption.csv one per cell.
``k`` is the number of sides; the k of a k-sparse cell is ``cell_k``, where some cell has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import fmean
from typing import Any

import pandas as pd

from pipeline.analysis.table import Table
from pipeline.analysis.tables.sweeps import SWEEP, without_idle_k
from pipeline.study.probe import ALL, ProbedCell, ProbeRun
from sagsae.autoencoders.registry import K

# The k of a cell in tables of probes, where ``k`` is the number of sides of a probe.
CELL_K = "cell_k"
CELL = ("recipe", "model", "hookpoint", "variant", "width", "lam", CELL_K, "seed")
PROBED = ("kind", "k", "labels", "accuracy", "latents", "neurons", "dense", "live_sides")
# What names a cell in a table with a row for each.
NAMES = [*SWEEP, "lam", "seed", "l0"]
ABSORBED = ("labels", "rows", "fraction", "full", "main")
PROBING = Table(
    "probing",
    "Sparse probing",
    reads="Accuracy is that of a probe on k sides of a code; 0.5 is chance. The probe of "
    "Neurons has k coordinates of the activation, the probe of Dense has all.",
    by=["recipe model hookpoint"],
    columns=["variant recipe width lam cell_k l0 k accuracy latents neurons dense"],
    prepare=lambda table: table[table["kind"] == ALL],
)
ABSORPTION = Table(
    "absorption",
    "Feature absorption",
    reads="A fraction is a mean over the letters that could be judged; less is better.",
)


@PROBING.made_from("probe")
def probing_table(runs: Iterable[ProbeRun]) -> pd.DataFrame:
    """One row per cell, kind of label and k.

    ``accuracy`` is of a probe on k sides, ``neurons`` on k coordinates of the activation, ``dense``
    on the whole of it; ``latents`` is how many latents the k sides belong to. All are means over
    ``labels``.
    """
    rows = [row for run in runs for one in run.cells for row in _probed(run, one)]
    table = pd.DataFrame(rows, columns=[*CELL, "l0", *PROBED, "live_latents"])
    return without_idle_k(table, CELL_K)


def _probed(run: ProbeRun, one: ProbedCell) -> Iterator[dict[str, Any]]:
    alive = {name: getattr(one, name) for name in ("live_sides", "live_latents")}
    for kind in dict.fromkeys([ALL, *(label.kind for label in run.labels)]):
        pairs = zip(run.labels, one.labels, strict=True)
        own = [(label, probed) for label, probed in pairs if kind in (ALL, label.kind)]
        for i, k in enumerate(run.ks):
            means = {
                "accuracy": fmean(probed.accuracy[i] for _, probed in own),
                "latents": fmean(probed.latents[i] for _, probed in own),
                "neurons": fmean(label.neurons[i] for label, _ in own),
                "dense": fmean(label.dense for label, _ in own),
            }
            yield _cell(one) | {"kind": kind, "k": k, "labels": len(own)} | means | alive


@ABSORPTION.made_from("probe")
def absorption_table(runs: Iterable[ProbeRun]) -> pd.DataFrame:
    """One row per cell: means over the letters that were judged, of which there are ``labels``;
    ``rows`` is the sum of their tokens, ``main`` the mean number of main sides."""
    rows = []
    for run in runs:
        for one in run.cells:
            judged = [p.absorption for p in one.labels if p.absorption and p.absorption.rows]
            row = _cell(one) | {"labels": len(judged), "rows": sum(a.rows for a in judged)}
            if judged:
                row |= {name: fmean(getattr(a, name) for a in judged) for name in ABSORBED[2:4]}
                row["main"] = fmean(len(a.main) for a in judged)
            rows.append(row)
    return without_idle_k(pd.DataFrame(rows, columns=[*CELL, "l0", *ABSORBED]), CELL_K)


def _cell(one: ProbedCell) -> dict[str, Any]:
    return {name: getattr(one.cell, name.removeprefix("cell_")) for name in CELL} | {"l0": one.l0}


def k_for_lambda(table: pd.DataFrame) -> pd.DataFrame:
    """A table of probes with the k of a cell in the place of its lambda, where it has one."""
    if CELL_K not in table:
        return table
    lam = table["lam"].fillna(table[CELL_K].astype(float))
    return table.assign(lam=lam).drop(columns=CELL_K)


def probed_cells(
    cells: pd.DataFrame, probing: pd.DataFrame, absorption: pd.DataFrame
) -> pd.DataFrame:
    """A row per cell: ``accuracy_<k>`` over all labels for each number of sides, and ``fraction``
    of absorption. The rows of one sweep make a `Sweep`.

    Args:
        cells: cells.csv, which says what collapsed.
        probing: probing.csv.
        absorption: absorption.csv.
    """
    own = k_for_lambda(probing[probing["kind"] == ALL])
    wide = own.pivot(index=NAMES, columns="k", values="accuracy").add_prefix("accuracy_")
    absorbed = k_for_lambda(absorption)[[*NAMES, "fraction"]]
    named = k_for_lambda(cells.rename(columns={K: CELL_K}))[[*NAMES[:-1], "collapsed"]]
    return wide.reset_index().merge(absorbed, on=NAMES).merge(named, on=NAMES[:-1])
