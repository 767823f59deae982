"""What a figure is drawn from, and the function that draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures.panels import Series
from pipeline.figures.series import in_main_comparison, styles
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.outputs import COMPARISON, POINTS
from pipeline.study.series import with_series
from pipeline.text.csv_files import read_table

Drawn = tuple[Figure, pd.DataFrame]
"""A figure, and the numbers that it shows."""


@dataclass(frozen=True)
class Shown:
    """The tables of a study under one recipe, cut to its main comparison or whole."""

    tables: Path
    spec: ComparisonSpec
    recipe: str
    everything: bool
    cells: Path | None = None
    """Folder of the cells, for a figure that shows more of them than the tables do."""

    def rows(self, name: str) -> pd.DataFrame:
        """The rows of a table that are shown, with the ``series`` of each."""
        table = with_series(read_table(self.tables / name), self.spec)
        table = self.spec.under(self.recipe, table)
        return table if self.everything else table[in_main_comparison(table, self.spec)]

    @property
    def placed(self) -> ComparisonSpec:
        """The spec without models and hookpoints at which there is nothing to show."""
        models, hookpoints = map(set, zip(*self.spec.trained[self.recipe], strict=True))
        kept = {name: d for name, d in self.spec.models.items() if name in models}
        there = [name for name in self.spec.hookpoints if name in hookpoints]
        return self.spec.model_copy(update={"models": kept, "hookpoints": there})

    @property
    def overlaps(self) -> pd.DataFrame:
        """The L0 ranges that are shaded: those of the main comparison in its own figures."""
        table = read_table(self.tables / COMPARISON)
        main = (table["comparison"] == 1) & (table["recipe"] == self.recipe)
        return table[main & (not self.everything)]

    @cached_property
    def series(self) -> dict[str, Series]:
        """How each line of the study looks, by label."""
        return styles(with_series(read_table(self.tables / POINTS), self.spec), self.spec)


def function_named(name: str, modules: Iterable[ModuleType]) -> Callable[..., Drawn]:
    """The function that draws a figure, which has its name.

    Raises:
        ValueError: no module has one.
    """
    for module in modules:
        if hasattr(module, name):
            return getattr(module, name)
    raise ValueError(
        f"no function {name} draws the figure of that name: write it, or mend the entry"
    )
