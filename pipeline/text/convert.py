"""A table as Parquet, or as LaTeX with every column.

python -m pipeline convert --table tables/points.csv --out tables/points.parquet
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.text.csv_files import read_table
from pipeline.text.numbers import Grid
from pipeline.text.pages import latex_page
from sagsae.files import whole_file, write_atomic


def grid_of(table: pd.DataFrame, title: str) -> Grid:
    """A table as texts: numbers at four digits, nothing where nothing is known."""
    rows = tuple(tuple(map(_text, row)) for row in table.itertuples(index=False, name=None))
    return Grid(title=title, columns=tuple(map(str, table)), rows=rows)


def _text(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(table: Path, out: Path) -> None:
    """Run the stage.

    Args:
        table: the CSV
        out: the .parquet or .tex
    """
    found = read_table(table)
    if out.suffix == ".tex":
        title = table.stem.replace("_", " ").capitalize()
        write_atomic(out, latex_page([grid_of(found, title)], long=True).encode())
        return
    with whole_file(out) as partial:
        found.to_parquet(partial, index=False)
