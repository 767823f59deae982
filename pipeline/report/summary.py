"""The end-of-run message: what the comparisons found and where everything is.

python -m pipeline summary --spec JSON --root results/<study>
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.outputs import COMPARISON, REPORT
from pipeline.tables.comparison_text import views
from pipeline.text.csv_files import read_table
from pipeline.text.numbers import BLANK


def summary(table: pd.DataFrame, spec: ComparisonSpec, root: Path) -> str:
    """The end-of-run message: a line per (model, hookpoint), then where the outputs are."""
    lines = []
    for view in views(table, spec):
        lines.append(view.title)
        for row in view.dominance.rows:
            cell = dict(zip(view.dominance.columns, row, strict=True))
            where = f"  {cell['Model']} {cell['Hookpoint']}:"
            if cell["Dominates"] == BLANK:
                lines.append(f"{where} not comparable (no common L0 range)")
                continue
            verdict = "dominates" if cell["Dominates"] == "yes" else "does not dominate"
            lines.append(
                f"{where} {verdict}; R2 gap {cell['Smallest gap']} at least, {cell['Mean gap']} "
                f"on average, over L0 {cell['L0 overlap']}"
            )
    if not lines:
        lines.append("This study compares nothing: its configuration lists no comparisons.")
    for what, where in (("tables", "tables"), ("figures", "figures"), ("report", REPORT)):
        lines.append(f"{what + ':':9}{root / where}")
    return "\n".join(lines)


def main(spec: ComparisonSpec, root: Path) -> None:
    """Run the stage.

    Args:
        spec: the study's comparison spec as JSON, or @FILE that holds it
        root: folder of the study's results
    """
    table = root / "tables" / COMPARISON
    if table.exists():  # a run of single targets may come before any table
        print(summary(read_table(table), spec, root))
