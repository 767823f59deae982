"""Stage: a table for readers, or in another format.

    python -m pipeline page --measures DIR --table tables/comparison.csv --out tables/comparison.tex

.md, .tex and .html have the columns that readers want, .parquet all with their types.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.cut import parts_of
from pipeline.analysis.pages import write_page
from pipeline.study.outputs import SCOPE
from pipeline.study.scope import Scope
from sagsae.files import whole_file


def main(measures: Path, table: Path, out: Path) -> None:
    """Run the stage.

    Args:
        measures: folder of the measures
        table: the .csv
        out: the .md, .tex, .html or .parquet
    """
    found = read_table(table)
    if out.suffix == ".parquet":
        with whole_file(out) as partial:
            found.to_parquet(partial, index=False)
        return
    write_page(out, *parts_of(table.name, found, Scope.read(measures / SCOPE)))
