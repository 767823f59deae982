"""The claims page: what the paper says, what this study found, and whether it agrees."""

from __future__ import annotations

from collections.abc import Mapping
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


def page_parts(tables: Mapping[str, pd.DataFrame], scope: Scope) -> list[Part]:
    """The claims page.

    Args:
        tables: The verdicts, the matrix of verdicts where there are several settings, and cells.
        scope: Of the study.
    """
    parts: list[Part] = []
    for name in claim_tables(scope)[::-1]:
        parts += parts_of(name, tables[name], scope)[1]
    return [
        *parts,
        "## How each is decided",
        "\n".join(f"- {line}" for line in criteria(tables[CLAIMS])),
        "## Limits of this study",
        "\n".join(f"- {line}" for line in limits(scope, tables[CELLS])),
    ]


def write_claims_page(tables: Path, scope: Scope) -> None:
    """Write claims.md into the folder of the tables, from the tables there."""
    read = {name: read_table(tables / name) for name in (*claim_tables(scope), CELLS)}
    write_page(tables / CLAIMS_PAGE, "Claims of the paper", page_parts(read, scope))
