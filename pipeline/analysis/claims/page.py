"""The claims page: what the paper says, what this study found, and whether it agrees."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.analysis.claims.limits import limits
from pipeline.analysis.csv_files import read_table
from pipeline.analysis.names import claim_tables
from pipeline.analysis.page import parts_of
from pipeline.analysis.pages import Part, write_page
from pipeline.study.outputs import CELLS, CLAIMS, CLAIMS_PAGE
from pipeline.study.scope import Scope


def criteria(table: pd.DataFrame) -> list[str]:
    """How verdicts are reached, each criterion with the numbers of its claims."""
    listed = table.drop_duplicates("claim").reset_index(drop=True)
    by_rule = listed.groupby("criterion", sort=False)
    return [f"{', '.join(str(i + 1) for i in rows.index)}: {rule}" for rule, rows in by_rule]


def write_claims_page(tables: Path, scope: Scope) -> None:
    """Write claims.md into the folder of the tables: the verdicts, the matrix of verdicts where
    there are several settings, how they are reached, and what the study cannot say."""
    parts: list[Part] = []
    for name in claim_tables(scope)[::-1]:
        parts += parts_of(name, read_table(tables / name), scope)[1]
    lists = {
        "How each is decided": criteria(read_table(tables / CLAIMS)),
        "Limits of this study": limits(scope, read_table(tables / CELLS)),
    }
    for title, lines in lists.items():
        parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)]
    write_page(tables / CLAIMS_PAGE, "Claims of the paper", parts)
