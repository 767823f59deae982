"""The end-of-run message: what the comparisons found and where everything is.

python -m pipeline summary --root results/<study>
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.numbers import signed, sweep_label
from pipeline.study.outputs import COMPARISON, REPORT


def summary(table: pd.DataFrame, root: Path) -> str:
    """A line per comparison at one (model, hookpoint), then where the outputs are."""
    lines = []
    for row in table.to_dict("records"):
        sides = [
            sweep_label(row[f"{s}_variant"], row[f"{s}_width"]) for s in ("candidate", "baseline")
        ]
        where = " ".join(filter(None, (row["recipe"], row["model"], row["hookpoint"])))
        if pd.isna(row["dominates"]):
            lines.append(f"{where}: {row['overlap_reason']}")
            continue
        verb = "dominates" if row["dominates"] else "does not dominate"
        lines.append(
            f"{where}: {sides[0]} {verb} {sides[1]}; R2 gap {signed(row['min_gap'])} at least, "
            f"{signed(row['mean_gap'])} on average"
        )
    for what, place in (("tables", "tables"), ("figures", "figures"), ("report", REPORT)):
        lines.append(f"{what + ':':9}{root / place}")
    return "\n".join(lines)


def main(root: Path) -> None:
    """Run the stage.

    Args:
        root: folder of the study's results
    """
    table = root / "tables" / COMPARISON
    if table.exists():  # a run of single targets may come before any table
        print(summary(read_table(table), root))
