"""Results by source of text: what each cell reaches on each, and the comparisons on each alone.

Both tables are made where the text has several sources. They show whether a result hangs on one
kind of text.
"""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd

from pipeline.analysis.knob_columns import without_idle_k
from pipeline.analysis.tables.comparison import ANSWERS, QUESTION, comparison_table
from pipeline.analysis.tables.sweeps import Metrics
from pipeline.study.metrics import CellMetrics
from pipeline.study.scope import Scope

COMPARED = [name for name in ANSWERS if name.startswith(("overlap", "p_", "min", "mean", "max"))]
"""Columns of a comparison in R2. Dead latents and Loss Recovered are compared on all text only."""
MEASURES = {"r2": "R2", "loss_recovered": "Loss Recovered"}


def source_names(metrics: Metrics) -> list[str]:
    """The sources that some cell was measured on, by name as in metrics.json."""
    return sorted({name for found in metrics.values() for name in found.sources})


def source_table(metrics: Metrics) -> pd.DataFrame:
    """One row per (cell, source), with all that is measured on the source."""
    table = pd.DataFrame(
        asdict(cell) | {"source": name} | record.model_dump()
        for cell in sorted(metrics)
        for name, record in metrics[cell].sources.items()
    )
    return without_idle_k(table)


def on_source(found: CellMetrics, name: str) -> CellMetrics | None:
    """The metrics of a cell with R2 and L0 of one source in the place of those of all text."""
    record = found.sources.get(name)
    if record is None or record.r2 is None:
        return None
    return found.model_copy(update={"r2": record.r2, "l0": record.l0})


def comparison_by_source(metrics: Metrics, spec: Scope) -> pd.DataFrame:
    """One row per (comparison, model, hookpoint, source): the comparison in R2 on it alone.

    R2 is about the mean of the source's own rows, and L0 is that on the source. A source that some
    cell has no R2 on is left out.
    """
    parts = []
    for name in source_names(metrics):
        own = {cell: on_source(found, name) for cell, found in metrics.items()}
        known = {cell: found for cell, found in own.items() if found is not None}
        if len(known) == len(own):
            parts.append(comparison_table(known, spec).assign(source=name))
    columns = ["comparison", *QUESTION[:3], "source", *QUESTION[3:], "dominates", *COMPARED]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts)[columns].sort_index(kind="stable")  # sources of a question together
