"""Stage: all sweeps against all, in a study whose variants are of several families.

    python -m pipeline ranking-tables --spec JSON --tables DIR --out tables/ranking.csv

ranking.csv has the rank of every sweep at every matched L0, ranking_summary.csv the mean ranks
over (model, hookpoint) pairs, dominance.csv which sweep dominates which, sides.csv the forms of two
sides beside those of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.study.cell import SweepKey
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.outputs import CELLS, DOMINANCE, RANKING, RANKING_SUMMARY, SIDES
from pipeline.study.series import with_series
from pipeline.tables.dominance import dominance_table
from pipeline.tables.probing_text import probed_cells
from pipeline.tables.ranking import ranking_table, summary_table
from pipeline.tables.ranking_text import dominance_parts, ranking_parts, side_parts
from pipeline.tables.sides import side_table
from pipeline.tables.sweeps import SWEEP
from pipeline.text.csv_files import read_table, write_csv
from pipeline.text.numbers import sweep_label
from pipeline.text.pages import write_page
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


def series_in(cells: pd.DataFrame, spec: ComparisonSpec) -> dict[SweepKey, str]:
    """The series of each sweep."""
    firsts = with_series(cells, spec).drop_duplicates(list(SWEEP))
    keys = firsts[list(SWEEP)].itertuples(index=False, name=None)
    return dict(zip(map(_key, keys), firsts["series"], strict=True))


def main(spec: ComparisonSpec, tables: Path, out: Path, probes: Sequence[Path] = ()) -> None:
    """Run the stage.

    Args:
        spec: the study's comparison spec as JSON, or @FILE that holds it
        tables: folder of the tables
        out: ranking.csv; the others beside it
        probes: probing.csv and absorption.csv, if the study probes codes
    """
    cells = read_table(tables / CELLS)
    sweeps, series = sweeps_in(cells), series_in(cells, spec)
    probed = sweeps_in(probed_cells(*map(read_table, probes))) if probes else {}
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
    read = {name: read_table(out.with_name(name)) for name in made}
    pages = {
        RANKING: ("All against all", ranking_parts(read[RANKING], read[RANKING_SUMMARY], spec)),
        DOMINANCE: ("Which sweep dominates which", dominance_parts(read[DOMINANCE], spec)),
        SIDES: ("Two sides at half the width", side_parts(read[SIDES], spec)),
    }
    for name, (title, parts) in pages.items():
        write_page(out.with_name(name), title, parts)
