"""Stage: the tables that follow from one kind of measures, or from other tables.

    python -m pipeline tables --measures DIR --root DIR
    python -m pipeline tables --of dial --measures DIR --root DIR

CSVs hold every digit of what was measured, and twelve of what was computed from it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from pipeline.analysis.csv_files import write_tables
from pipeline.analysis.table import make_tables, sources, tables_from
from pipeline.study.measures import Measures


def main(measures: Path, root: Path, of: str = "cells") -> None:
    """Run the stage.

    Args:
        measures: folder of the measures
        root: folder of the results, where the tables go
        of: from what they are made, such as cells, dial, ranking, claims or synthetic
    """
    by_kind = {source.kind: source for source in sources()}
    if of not in by_kind:
        raise ValueError(f"--of {of}: tables are made from {', '.join(by_kind)}")
    known, source = Measures(measures), by_kind[of]
    made = make_tables(tables_from(source), source.open(known, root), known.scope)
    write_tables(root, source, known.scope, made)
    if source.page:
        import_module(source.page).write(root / source.page_file, known.scope)
