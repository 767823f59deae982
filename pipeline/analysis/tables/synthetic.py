"""Tables of synthetic protocols, of all and of each: means over seeds of their runs.

A row is one metric of one variant at one lambda in one setting. ``picked`` marks the lambda of the
operating point, the one whose mean L0 is nearest, in ratio, to the expected number of active
features; no other measure takes part in the choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from pipeline.analysis.table import MEASURED, Table
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
        {key: row[key] for key in keys} | {"metric": name, "value": value}
        for row in rows
        for name, value in row["metrics"].items()
    ).astype({"value": float})
    values = long.groupby([*keys, "metric"], sort=False)["value"]
    table = values.agg(seed_count="count", mean="mean", se="sem").reset_index()
    wide = table.pivot_table(index=keys, columns="metric", values="mean", sort=False)
    ratio = (wide["l0"] / wide["target_l0"]).clip(lower=1e-9)
    away = ratio.where(ratio >= 1, 1 / ratio)
    chosen = away.groupby(SYSTEM, sort=False).idxmin()
    return table.assign(picked=pd.MultiIndex.from_frame(table[keys]).isin(list(chosen)))[COLUMNS]


def _declared(name: str, *protocols: str) -> Table:
    """The table of some protocols."""
    title = name.replace("_", " ").capitalize()
    table = Table(name, title, texts="protocol setting metric", report=False)

    @table.made_from("synthetic")
    def make(runs: Iterable[dict[str, Any]]) -> pd.DataFrame:
        return summarise(rows_of(run for run in runs if run["protocol"] in protocols))

    return table


# The measures that some figures draw themselves.
RUNS = MEASURED["synthetic"].measures
SUMMARY = _declared("summary", *PROTOCOLS)
BY_PROTOCOL = {name: _declared(name, name) for name in PROTOCOLS}
