"""What a figure is drawn from, and the function that draws it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.figures.panels import Series
from pipeline.analysis.figures.series import in_main_comparison, styles
from pipeline.analysis.series import with_series
from pipeline.analysis.tables.synthetic import rows_of
from pipeline.study.measures import Measures
from pipeline.study.outputs import COMPARISON, POINTS, SYNTHETIC
from pipeline.study.scope import Scope

Drawn = tuple[Figure, pd.DataFrame]
"""A figure, and the numbers that it shows."""


@dataclass(frozen=True)
class Shown:
    """The tables of a study under one recipe, cut to its main comparison or whole."""

    root: Path
    """Folder of the results, which has the tables."""
    spec: Scope
    recipe: str
    everything: bool
    measures: Measures
    """For a figure that shows more than the tables have."""

    def table(self, name: str) -> pd.DataFrame:
        """A whole table."""
        return read_table(self.root / "tables" / name)

    def protocol(self, name: str) -> pd.DataFrame:
        """The table of a synthetic protocol."""
        return read_table((self.root / SYNTHETIC / name).with_suffix(".csv"))

    @cached_property
    def runs(self) -> list[dict[str, Any]]:
        """The rows of all synthetic runs."""
        return rows_of(self.measures.synthetic_runs())

    def rows(self, name: str) -> pd.DataFrame:
        """The rows of a table that are shown, with the ``series`` of each."""
        table = with_series(self.table(name), self.spec)
        table = self.spec.under(self.recipe, table)
        return table if self.everything else table[in_main_comparison(table, self.spec)]

    @property
    def placed(self) -> Scope:
        """The spec without models and hookpoints at which there is nothing to show."""
        models, hookpoints = map(set, zip(*self.spec.trained[self.recipe], strict=True))
        kept = {name: d for name, d in self.spec.models.items() if name in models}
        there = [name for name in self.spec.hookpoints if name in hookpoints]
        return self.spec.model_copy(update={"models": kept, "hookpoints": there})

    @property
    def overlaps(self) -> pd.DataFrame:
        """The L0 ranges that are shaded: those of the main comparison in its own figures."""
        table = self.table(COMPARISON)
        main = (table["comparison"] == 1) & (table["recipe"] == self.recipe)
        return table[main & (not self.everything)]

    @cached_property
    def series(self) -> dict[str, Series]:
        """How each line of the study looks, by label."""
        return styles(with_series(self.table(POINTS), self.spec), self.spec)
