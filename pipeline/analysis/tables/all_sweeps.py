"""All sweeps of a study of several families or with section signs: what ranks them reads this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.table import Source
from pipeline.analysis.tables.cells import CELLS
from pipeline.analysis.tables.probing import ABSORPTION, PROBING, probed_cells
from pipeline.analysis.tables.sweeps import SWEEP, sweeps_in, with_series
from pipeline.study.cell import SweepKey
from pipeline.study.measures import Measures


def _open(known: Measures, root: Path) -> dict[str, Any]:
    """``sweeps``, with every number of their cells; ``names``: the series of each; ``probed``:
    those that were probed, with what probes found of their cells; ``spec``."""
    spec, cells = known.scope, read_table(root / CELLS.path)
    named = with_series(cells, spec).drop_duplicates(list(SWEEP)).set_index(list(SWEEP))["series"]
    probed = {}
    if PROBING.is_of(spec):
        probes = (read_table(root / table.path) for table in (PROBING, ABSORPTION))
        probed = sweeps_in(probed_cells(cells, *probes))
    return {
        "sweeps": sweeps_in(cells.assign(loss_added=cells["ce_sae"] - cells["ce_clean"])),
        "names": {SweepKey(*key): name for key, name in zip(named.index, named, strict=True)},
        "probed": probed,
        "spec": spec,
    }


ALL_SWEEPS = Source(
    "ranking",
    open=_open,
    when=lambda scope: scope.ranks_all,
    tables=(CELLS, PROBING, ABSORPTION),
)
