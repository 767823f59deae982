"""claims.md: the verdicts, the matrix of verdicts where there are several settings, how they are
reached, and what the study cannot say."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.page import Part, parts_of, write_page
from pipeline.analysis.report import limits
from pipeline.analysis.table import tables_from
from pipeline.analysis.tables.cells import CELLS
from pipeline.claims.load import load
from pipeline.claims.tables.verdicts import CLAIMS
from pipeline.study.scope import Scope


def criteria(table: pd.DataFrame) -> list[str]:
    """How verdicts are reached, each criterion with the numbers of its claims."""
    listed = table.drop_duplicates("claim").reset_index(drop=True)
    by_rule = listed.groupby("criterion", sort=False)
    return [f"{', '.join(str(i + 1) for i in rows.index)}: {rule}" for rule, rows in by_rule]


def write(out: Path, scope: Scope) -> None:
    """Write the page beside the tables."""
    parts: list[Part] = []
    for table in tables_from(CLAIMS.source):
        if table.is_of(scope):
            parts += parts_of(table, read_table(out.with_name(table.file)), scope)
    study = limits(scope, read_table(out.with_name(CELLS.file)))
    lists = {
        "How each is decided": criteria(read_table(out.with_name(CLAIMS.file))),
        "Limits of this study": [*study, *getattr(load(scope.claims), "LIMITS", ())],
    }
    for title, lines in lists.items():
        parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)]
    write_page(out, CLAIMS.title, parts)
