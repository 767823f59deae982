"""Stage: the tables of probing and absorption, from what each job of the probes found.

    python -m pipeline probe-tables --measures DIR --out tables/probing.csv

probing.csv has a row per cell, kind of label and number of sides, absorption.csv one per cell.
``k`` is the number of sides; the k of a k-sparse cell is ``cell_k``, where some cell has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from pipeline.analysis.csv_files import write_csv
from pipeline.analysis.knob_columns import CELL_K, k_for_lambda, without_idle_k
from pipeline.analysis.tables.sweeps import SWEEP
from pipeline.study.measures import Measures
from pipeline.study.outputs import ABSORPTION
from pipeline.study.probe import ALL, Label, LabelProbed, ProbedCell, ProbeRun

CELL = ("recipe", "model", "hookpoint", "variant", "width", "lam", CELL_K, "seed")
PROBED = ("kind", "k", "labels", "accuracy", "latents", "neurons", "dense", "live_sides")
NAMES = [*SWEEP, "lam", "seed", "l0"]
"""What names a cell in a table with a row for each."""
ABSORBED = ("labels", "rows", "fraction", "full", "main")


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
    pairs = list(zip(run.labels, one.labels, strict=True))
    for kind in dict.fromkeys([ALL, *(label.kind for label in run.labels)]):
        own = [pair for pair in pairs if kind in (ALL, pair[0].kind)]
        for i, k in enumerate(run.ks):
            yield (
                _cell(run, one)
                | {"kind": kind, "k": k, **_means(own, i)}
                | {name: getattr(one, name) for name in ("live_sides", "live_latents")}
            )


def _means(pairs: Sequence[tuple[Label, LabelProbed]], i: int) -> dict[str, Any]:
    """Over some labels, at the i-th number of sides."""
    return {
        "labels": len(pairs),
        "accuracy": fmean(probed.accuracy[i] for _, probed in pairs),
        "latents": fmean(probed.latents[i] for _, probed in pairs),
        "neurons": fmean(label.neurons[i] for label, _ in pairs),
        "dense": fmean(label.dense for label, _ in pairs),
    }


def absorption_table(runs: Iterable[ProbeRun]) -> pd.DataFrame:
    """One row per cell: means over the letters that were judged, of which there are ``labels``;
    ``rows`` is the sum of their tokens, ``main`` the mean number of main sides."""
    rows = []
    for run in runs:
        for one in run.cells:
            judged = [p.absorption for p in one.labels if p.absorption and p.absorption.rows]
            row = _cell(run, one) | {"labels": len(judged), "rows": sum(a.rows for a in judged)}
            if judged:
                row |= {name: fmean(getattr(a, name) for a in judged) for name in ABSORBED[2:4]}
                row["main"] = fmean(len(a.main) for a in judged)
            rows.append(row)
    return without_idle_k(pd.DataFrame(rows, columns=[*CELL, "l0", *ABSORBED]), CELL_K)


def _cell(run: ProbeRun, one: ProbedCell) -> dict[str, Any]:
    own = {name: getattr(one.cell, name) for name in CELL if name != CELL_K}
    return own | {CELL_K: one.cell.k, "l0": one.l0}


def probed_cells(probing: pd.DataFrame, absorption: pd.DataFrame) -> pd.DataFrame:
    """A row per cell: ``accuracy_<k>`` and ``latents_<k>`` over all labels for each number of
    sides, ``fraction`` and ``full`` of absorption. The rows of one sweep make a `Sweep`."""
    wide = _wide(probing[probing["kind"] == ALL], ["accuracy", "latents"])
    return wide.merge(k_for_lambda(absorption)[[*NAMES, "fraction", "full"]], on=NAMES)


def _wide(table: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """A row per cell, with a column for each measure and k."""
    table = k_for_lambda(table)
    wide = table.pivot_table(index=NAMES, columns="k", values=measures, sort=False, dropna=False)
    wide.columns = pd.Index(["_".join(map(str, pair)) for pair in wide.columns.to_flat_index()])
    return wide.dropna(how="all").reset_index().assign(collapsed="")


def main(measures: Path, out: Path) -> None:
    """Run the stage.

    Args:
        measures: folder of the measures
        out: probing.csv; absorption.csv goes beside it
    """
    found = Measures(measures).probe_runs()
    write_csv(out, probing_table(found))
    write_csv(out.with_name(ABSORPTION), absorption_table(found))
