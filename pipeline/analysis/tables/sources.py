"""Tables of a study whose text has several sources: whether a result hangs on one kind of text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pandas as pd

from pipeline.analysis.columns import DOMINANCE, METRICS, SIDES
from pipeline.analysis.table import Table
from pipeline.analysis.tables.comparison import ANSWERS, GAP, QUESTION, comparison_table
from pipeline.analysis.tables.sweeps import Metrics
from pipeline.study.scope import Scope

# Columns of a comparison in R2. Dead latents and Loss Recovered are compared on all text only.
COMPARED = [
    name for name in ANSWERS.split() if name.startswith(("overlap", "p_", "min", "mean", "max"))
]
SOURCES = Table(
    "sources",
    "By source of text",
    reads="A row is one autoencoder on one source.",
    by=["model hookpoint"],
    columns=["variant recipe width lam k seed source share", METRICS],
    when=lambda scope: bool(scope.sources),
    exact=True,
)
BY_SOURCE = Table(
    "comparison_by_source",
    "Comparisons on each source of text",
    reads=GAP,
    by=["comparison recipe"],
    columns=["model hookpoint source", SIDES, DOMINANCE],
    texts="p_reason",
    when=SOURCES.when,
)


@SOURCES.made_from("cells")
def source_table(metrics: Metrics) -> Iterator[dict[str, Any]]:
    """One row per (cell, source), with all that is measured on the source."""
    for cell in sorted(metrics):
        for name, record in metrics[cell].sources.items():
            yield asdict(cell) | {"source": name} | record.model_dump()


@BY_SOURCE.made_from("cells")
def comparison_by_source(metrics: Metrics, spec: Scope) -> pd.DataFrame:
    """One row per (comparison, model, hookpoint, source): the comparison in R2 on it alone.

    R2 is about the mean of the source's own rows, and L0 is that on the source. A source that some
    cell has no R2 on is left out.
    """
    columns = ["comparison", *QUESTION[:3], "source", *QUESTION[3:], "dominates", *COMPARED]
    parts = [pd.DataFrame(columns=columns)]
    for name in sorted({name for measured in metrics.values() for name in measured.sources}):
        records = {cell: measured.sources.get(name) for cell, measured in metrics.items()}
        on_source = {
            cell: metrics[cell].model_copy(update={"r2": record.r2, "l0": record.l0})
            for cell, record in records.items()
            if record is not None and record.r2 is not None
        }
        if len(on_source) == len(metrics):
            parts.append(comparison_table(on_source, spec).assign(source=name))
    table = pd.concat(parts[1:] or parts)[columns]
    return table.sort_index(kind="stable")  # sources of a question together
