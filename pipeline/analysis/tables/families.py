"""Stage: all sweeps against all, in a study whose variants are of several families.

    python -m pipeline ranking-tables --measures DIR --tables DIR --out tables/ranking.csv

ranking.csv has the rank of every sweep at every matched L0, ranking_summary.csv the mean ranks
over (model, hookpoint) pairs, dominance.csv which sweep dominates which, sides.csv the forms of two
sides beside those of one.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.analysis.csv_files import read_table, write_csv
from pipeline.analysis.tables.dominance import dominance_table
from pipeline.analysis.tables.probing import probed_cells
from pipeline.analysis.tables.ranking import ranking_table, summary_table
from pipeline.analysis.tables.sides import side_table
from pipeline.analysis.tables.sweeps import SWEEP, sweeps_in, with_series
from pipeline.study import outputs
from pipeline.study.cell import SweepKey
from pipeline.study.scope import Scope


def main(measures: Path, tables: Path, out: Path) -> None:
    """Run the stage.

    Args:
        measures: folder of the measures
        tables: folder of the tables
        out: ranking.csv; the others beside it
    """
    spec, cells = Scope.read(measures / outputs.SCOPE), read_table(tables / outputs.CELLS)
    sweeps = sweeps_in(cells)
    named = with_series(cells, spec).drop_duplicates(list(SWEEP)).set_index(list(SWEEP))["series"]
    series = {SweepKey(*key): name for key, name in zip(named.index, named, strict=True)}
    probes = (read_table(tables / name) for name in outputs.PROBE_TABLES)
    probed = sweeps_in(probed_cells(*probes)) if spec.probe else {}
    noisy = cells.loc[cells["lr_noisy"], ["model", "hookpoint"]].itertuples(index=False, name=None)
    ranking = ranking_table(sweeps, series, probed, spec, set(noisy))
    made = {
        outputs.RANKING: ranking,
        outputs.RANKING_SUMMARY: summary_table(ranking),
        outputs.DOMINANCE: dominance_table(sweeps, series, spec),
        outputs.SIDES: side_table(sweeps, series, spec),
    }
    for name, table in made.items():
        write_csv(out.with_name(name), table)
