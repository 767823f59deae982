"""Stage: the tables of synthetic protocols, means over seeds of their runs.

    python -m pipeline synthetic-tables --measures DIR --out synthetic/summary.csv

A row is one metric of one variant at one lambda in one setting. ``picked`` marks the lambda of the
operating point, the one whose mean L0 is nearest, in ratio, to the expected number of active
features; no other measure takes part in the choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.analysis.csv_files import write_tables
from pipeline.study import outputs
from pipeline.study.measures import Measures
from pipeline.study.synthetic import PROTOCOLS

SYSTEM = ["protocol", "setting", "variant", "multiple", "width"]
COLUMNS = [*SYSTEM, "lam", "picked", "seed_count", "metric", "mean", "se"]


def rows_of(runs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of runs, each with its ``protocol`` and ``seed``."""
    return [
        {"protocol": run["protocol"], "seed": run["seed"]} | row
        for run in runs
        for row in run["rows"]
    ]


def summarise(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The table of ``COLUMNS``. A seed without a value for a metric does not count there.

    The standard error is empty with one seed; so is the mean with none.
    """
    keys = [*SYSTEM, "lam"]
    long = pd.DataFrame(
        {**{key: row[key] for key in keys}, "metric": name, "value": value}
        for row in rows
        for name, value in row["metrics"].items()
    ).astype({"value": float})
    values = long.groupby([*keys, "metric"], sort=False)["value"]
    table = values.agg(seed_count="count", mean="mean", se="sem").reset_index()
    return table.assign(picked=_picked(table))[COLUMNS]


def _picked(table: pd.DataFrame) -> pd.Series:
    """Whether a row's lambda is that of its system's operating point."""
    keys = [*SYSTEM, "lam"]
    wide = table.pivot_table(index=keys, columns="metric", values="mean", sort=False)
    ratio = (wide["l0"] / wide["target_l0"]).clip(lower=1e-9)
    away = ratio.where(ratio >= 1, 1 / ratio)
    chosen = away.groupby(SYSTEM, sort=False).idxmin()
    found = pd.MultiIndex.from_frame(table[keys]).isin(list(chosen))
    return pd.Series(found, index=table.index)


# Of all protocols, then one of each.
SYNTHETIC_TABLES = (outputs.SUMMARY, *map(outputs.PROTOCOL.format, PROTOCOLS))


def main(measures: Path, out_dir: Path) -> None:
    """Run the stage.

    Args:
        measures: folder of the measures
        out_dir: where the table of all protocols goes, and one of each
    """
    known = Measures(measures)
    rows = rows_of(known.synthetic_runs())
    own = ([row for row in rows if row["protocol"] == protocol] for protocol in PROTOCOLS)
    tables = dict(zip(SYNTHETIC_TABLES, map(summarise, [rows, *own]), strict=True))
    write_tables(out_dir, outputs.SYNTHETIC, known.scope, tables)
