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
from pipeline.analysis.tables.sweeps import SWEEP
from pipeline.study.probe import ALL, ProbedCell, ProbeRun
from sagsae.autoencoders.registry import K

# The k of a cell in tables of probes, where ``k`` is the number of sides of a probe.
CELL_K = "cell_k"
CELL = f"recipe model hookpoint variant width lam {CELL_K} seed l0"
# What names a cell in a table with a row for each.
NAMES = [*SWEEP, "lam", "seed", "l0"]
PROBING = Table(
    "probing",
    "Sparse probing",
    reads="Accuracy is that of a probe on k latents, each sign of a signed latent apart; 0.5 is "
    "chance. The "
    "probe of Neurons has k coordinates of the activation, the probe of Dense has all.",
    header=f"{CELL} kind k labels accuracy latents neurons dense live_sides live_latents",
    by=["recipe model hookpoint"],
    columns=["variant recipe width lam cell_k l0 k accuracy latents neurons dense"],
    prepare=lambda table: table[table["kind"] == ALL],
)
ABSORPTION = Table(
    "absorption",
    "Feature absorption",
    reads="A fraction is a mean over the letters that could be judged; less is better.",
    header=f"{CELL} labels rows fraction full main",
)


@PROBING.made_from("probe")
def probing_table(runs: Iterable[ProbeRun]) -> Iterator[dict[str, Any]]:
    """One row per cell, kind of label and k.

    ``accuracy`` is of a probe on k sides, ``neurons`` on k coordinates of the activation, ``dense``
    on the whole of it; ``latents`` is how many latents the k sides belong to. All are means over
    ``labels``.
    """
    for run in runs:
        for cell in run.cells:
            pairs = list(zip(run.labels, cell.labels, strict=True))
            for kind in dict.fromkeys([ALL, *(label.kind for label in run.labels)]):
                of_kind = [pair for pair in pairs if kind in (ALL, pair[0].kind)]
                for i, k in enumerate(run.ks):
                    yield _named(cell) | {
                        "kind": kind,
                        "k": k,
                        "labels": len(of_kind),
                        "accuracy": fmean(probed.accuracy[i] for _, probed in of_kind),
                        "latents": fmean(probed.latents[i] for _, probed in of_kind),
                        "neurons": fmean(label.neurons[i] for label, _ in of_kind),
                        "dense": fmean(label.dense for label, _ in of_kind),
                    }


@ABSORPTION.made_from("probe")
def absorption_table(runs: Iterable[ProbeRun]) -> Iterator[dict[str, Any]]:
    """One row per cell: means over the letters that were judged, of which there are ``labels``;
    ``rows`` is the sum of their tokens, ``main`` the mean number of main sides."""
    for cell in (cell for run in runs for cell in run.cells):
        letters = (probed.absorption for probed in cell.labels)
        judged = [letter for letter in letters if letter and letter.rows]
        row = _named(cell) | {"labels": len(judged), "rows": sum(letter.rows for letter in judged)}
        for name in ("fraction", "full") if judged else ():
            row[name] = fmean(getattr(letter, name) for letter in judged)
            row["main"] = fmean(len(letter.main) for letter in judged)
        yield row


def _named(probed: ProbedCell) -> dict[str, Any]:
    return {**vars(probed.cell), CELL_K: probed.cell.k, **vars(probed)}


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
    whole = k_for_lambda(probing[probing["kind"] == ALL])
    wide = whole.pivot(index=NAMES, columns="k", values="accuracy").add_prefix("accuracy_")
    absorbed = k_for_lambda(absorption)[[*NAMES, "fraction"]]
    named = k_for_lambda(cells.rename(columns={K: CELL_K}))[[*NAMES[:-1], "collapsed"]]
    return wide.reset_index().merge(absorbed, on=NAMES).merge(named, on=NAMES[:-1])
