"""Stage: all sweeps against all, in a study whose variants are of several families.

    python -m pipeline ranking-tables --measures DIR --tables DIR --out tables/ranking.csv

ranking.csv has the rank of every sweep at every matched L0, ranking_summary.csv the mean ranks
over (model, hookpoint) pairs, dominance.csv which sweep dominates which, sides.csv the forms of two
sides beside those of one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.analysis.csv_files import read_table, write_csv
from pipeline.analysis.numbers import sweep_label
from pipeline.analysis.series import with_series
from pipeline.analysis.tables.dominance import dominance_table
from pipeline.analysis.tables.probing import probed_cells
from pipeline.analysis.tables.ranking import ranking_table, summary_table
from pipeline.analysis.tables.sides import side_table
from pipeline.analysis.tables.sweeps import SWEEP
from pipeline.study.cell import SweepKey
from pipeline.study.outputs import (
    ABSORPTION,
    CELLS,
    DOMINANCE,
    PROBING,
    RANKING,
    RANKING_SUMMARY,
    SCOPE,
    SIDES,
)
from pipeline.study.scope import Scope
from sagsae.sweeps import Sweep


def sweeps_in(cells: pd.DataFrame) -> dict[SweepKey, Sweep]:
    """All sweeps of a table of cells, in sorted order, with every number that it has of them."""
    found = {}
    for names, rows in cells.groupby(list(SWEEP), sort=True):
        key = _key(names)
        label = sweep_label(key.variant, key.width)
        found[key] = replace(Sweep.from_rows(rows), label=label)
    return found


def _key(names: Iterable[Any]) -> SweepKey:
    """The sweep that these columns of a table name."""
    model, hookpoint, variant, recipe, width = names
    return SweepKey(str(model), str(hookpoint), str(variant), str(recipe), int(width))


def series_in(cells: pd.DataFrame, spec: Scope) -> dict[SweepKey, str]:
    """The series of each sweep."""
    firsts = with_series(cells, spec).drop_duplicates(list(SWEEP))
    keys = firsts[list(SWEEP)].itertuples(index=False, name=None)
    return dict(zip(map(_key, keys), firsts["series"], strict=True))


def main(measures: Path, tables: Path, out: Path) -> None:
    """Run the stage.

    Args:
        measures: folder of the measures
        tables: folder of the tables
        out: ranking.csv; the others beside it
    """
    spec, cells = Scope.read(measures / SCOPE), read_table(tables / CELLS)
    sweeps, series = sweeps_in(cells), series_in(cells, spec)
    probes = (read_table(tables / name) for name in (PROBING, ABSORPTION))
    probed = sweeps_in(probed_cells(*probes)) if spec.probe else {}
    noisy = cells.loc[cells["lr_noisy"], ["model", "hookpoint"]].itertuples(index=False, name=None)
    ranking = ranking_table(sweeps, series, probed, spec, set(noisy))
    made = {
        RANKING: ranking,
        RANKING_SUMMARY: summary_table(ranking),
        DOMINANCE: dominance_table(sweeps, series, spec),
        SIDES: side_table(sweeps, series, spec),
    }
    for name, table in made.items():
        write_csv(out.with_name(name), table)
