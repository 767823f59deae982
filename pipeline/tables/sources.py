"""Results by source of text: what each cell reaches on each, and the comparisons on each alone.

Both tables are made where the text has several sources. They show whether a result hangs on one
kind of text.
"""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd

from pipeline.config.recipes import DEFAULT_RECIPE
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.knob_columns import without_idle_k
from pipeline.study.metrics import CellMetrics
from pipeline.tables.comparison import ANSWERS, QUESTION, comparison_table
from pipeline.tables.comparison_text import overlap_text, title
from pipeline.tables.latent_text import sweep_heads, sweep_names
from pipeline.tables.sweeps import SWEEP, Metrics
from pipeline.text.numbers import (
    BLANK,
    Grid,
    format_number,
    share,
    signed,
    with_error,
)

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


def comparison_by_source(metrics: Metrics, spec: ComparisonSpec) -> pd.DataFrame:
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


def share_grid(table: pd.DataFrame) -> Grid:
    """Rows of each source in the stores of each model."""
    shares = table.drop_duplicates(["model", "source"])
    return Grid(
        title="Share of each source in the activations",
        columns=(
            *("Model", "Source", "Training rows", "share", "Held-out rows", "share"),
            "Tokens of Loss Recovered",
        ),
        rows=tuple(
            (
                *(row["model"], row["source"]),
                *(f"{row['train_rows']:,}", f"{100 * row['train_share']:.1f} %"),
                *(f"{row['rows']:,}", f"{100 * row['share']:.1f} %"),
                f"{row['ce_tokens']:,}",
            )
            for row in shares.to_dict("records")
        ),
    )


def source_grids(table: pd.DataFrame, cells: pd.DataFrame, several: bool) -> list[Grid]:
    """R2 and Loss Recovered of each sweep on each source, as means over its cells.

    ``several``: whether the study has several recipes.
    """
    sources, grids = list(table["source"].unique()), []
    for measure, name in MEASURES.items():
        rows = []
        for sweep, found in table.groupby(list(SWEEP), sort=False):
            means = found.groupby("source")[measure].mean().reindex(sources)
            whole = cells[(cells[list(SWEEP)] == list(sweep)).all(axis=1)][measure].mean()
            values = [*map(format_number, means), format_number(means.max() - means.min())]
            rows.append((*sweep_names(sweep, several), format_number(whole), *values))
        heads = (*sweep_heads(several), "All text", *sources, "Spread")
        title = f"{name} by source, mean over the sweep"
        grids.append(Grid(title=title, columns=heads, rows=tuple(rows)))
    return grids


def source_comparisons(table: pd.DataFrame, several: bool) -> list[Grid]:
    """Each comparison in R2 on each source alone.

    ``several``: whether the study has several recipes.
    """
    grids = []
    for _, rows in table.groupby("comparison", sort=False):
        grids.append(
            Grid(
                title=f"{title(rows)}, on each source alone",
                columns=(
                    *(*["Recipe"] * several, "Model", "Hookpoint", "Source"),
                    *("L0 overlap", "Dominates"),
                    *("P(dominance)", "Smallest gap", "at L0", "Mean gap"),
                ),
                rows=tuple(_comparison_row(row, several) for _, row in rows.iterrows()),
            )
        )
    return grids


def _comparison_row(row: pd.Series, several: bool) -> tuple[str, ...]:
    return (
        *[row["recipe"] or DEFAULT_RECIPE] * several,
        *(row[name] for name in ("model", "hookpoint", "source")),
        overlap_text(row),
        BLANK if pd.isna(row["dominates"]) else "yes" if row["dominates"] else "no",
        share(row["p_dominance"]),
        with_error(row["min_gap"], row["min_gap_se"], signed),
        format_number(row["min_gap_l0"]),
        with_error(row["mean_gap"], row["mean_gap_se"], signed),
    )
