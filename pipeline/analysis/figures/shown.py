"""What a figure is drawn from, how each of its lines looks, and its panels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.figures import mpl, plot
from pipeline.analysis.figures.plot import Look
from pipeline.analysis.numbers import looks
from pipeline.analysis.table import Table
from pipeline.analysis.tables.cells import POINTS
from pipeline.analysis.tables.comparison import COMPARISON
from pipeline.analysis.tables.sweeps import with_series
from pipeline.analysis.tables.synthetic import BY_PROTOCOL, rows_of
from pipeline.study.measures import Measures
from pipeline.study.places import Place
from pipeline.study.scope import Scope

# A figure, and the numbers that it shows.
Drawn: TypeAlias = "tuple[mpl.figure.Figure, pd.DataFrame]"
# A panel, and the rows that it shows.
Panel: TypeAlias = "tuple[mpl.axes.Axes, pd.DataFrame]"
LINES = ("-", "--", ":", "-.")
# Characters of a model and a place from which on they stand on two lines.
LONG = 27


def look_of(
    colour: str, marker: str, line: str, weight: float = 1.0, *, hollow: bool = False
) -> Look:
    """The look of a line.

    Args:
        colour, marker, line: In Matplotlib's notation.
        weight: Width of the line and size of the markers, in multiples of the usual ones.
        hollow: Whether its markers are open.
    """
    face = "white" if hollow else colour
    marks = {"marker": marker, "markersize": 4.5 * weight, "markerfacecolor": face}
    return {"color": colour, "ls": line, "lw": 1.3 * weight} | marks


@dataclass(frozen=True)
class Shown:
    """The tables of a study under one recipe, cut to its main comparison or whole."""

    # Folder of the results, which has the tables.
    root: Path
    spec: Scope
    recipe: str
    everything: bool
    # For a figure that shows more than the tables have.
    measures: Measures

    def table(self, declared: Table) -> pd.DataFrame:
        """A whole table."""
        return read_table(self.root / declared.path)

    def protocol(self, name: str, *, picked: bool = False) -> pd.DataFrame:
        """The table of a synthetic protocol; ``picked``: at its operating points alone."""
        table = self.table(BY_PROTOCOL[name])
        return table[table["picked"]] if picked else table

    @cached_property
    def runs(self) -> list[dict[str, Any]]:
        """The rows of all synthetic runs."""
        return rows_of(self.measures.synthetic_runs())

    def rows(self, declared: Table) -> pd.DataFrame:
        """The rows of a table that are shown, with the ``series`` of each."""
        table = self.spec.under(self.recipe, with_series(self.table(declared), self.spec))
        return table if self.everything else table[self._in_main(table)]

    def _in_main(self, table: pd.DataFrame) -> pd.Series:
        """Which rows belong to a side of the first comparison; all where there is none."""
        keys = zip(table["model"], table["variant"], table["width"], strict=True)
        return pd.Series([self.spec.in_main(*key) for key in keys], table.index, dtype=bool)

    @property
    def overlaps(self) -> pd.DataFrame:
        """The L0 ranges that are shaded: those of the main comparison in its own figures."""
        table = self.table(COMPARISON)
        main = (table["comparison"] == 1) & (table["recipe"] == self.recipe)
        names = ["recipe", "model", "hookpoint", "comparison", "overlap_lo", "overlap_hi"]
        return table.loc[main & (not self.everything), names].dropna()

    def lines(self, table: pd.DataFrame) -> dict[str, Look]:
        """How each line that a table has looks, by label."""
        return {label: look for label, look in self._series.items() if label in {*table["series"]}}

    @cached_property
    def _series(self) -> dict[str, Look]:
        """How all lines of the study look, so that every figure of it agrees. A line is one variant
        at one width, in multiples of d, so over all models.

        Colour and marker say which variant, the line which of its widths: the main comparison's
        comes first and is drawn heavier. The two sides of a variant have one colour, and no line
        in common.
        """
        points = with_series(self.table(POINTS), self.spec)
        main = set(points.loc[self._in_main(points), "series"])
        first = points.sort_values(["width", "variant"]).drop_duplicates("series")
        series: dict[str, Look] = {}
        for variant, (colour, marker) in looks(first["variant"]).items():
            labels = first.loc[first["variant"] == variant, "series"]
            alike = [look["color"] for look in series.values()].count(colour)
            for i, label in enumerate(sorted(labels, key=lambda label: label not in main), alike):
                line, weight = LINES[i % len(LINES)], 1.0 if label in main else 0.75
                series[label] = look_of(colour, marker, line, weight)
        return series

    def panels(
        self,
        table: pd.DataFrame,
        legend: Sequence[mpl.artist.Artist],
        labels: tuple[str, str],
        size: tuple[float, float] = (2.25, 1.95),
        places: Iterable[tuple[str, str]] = (),
        **shared: Any,
    ) -> tuple[mpl.figure.Figure, list[Panel]]:
        """A figure with a row of panels per model, a column per hookpoint of its layers, and a
        legend below.

        Args:
            table: What is drawn, with columns ``model`` and ``hookpoint``.
            legend: Its handles, all with labels.
            labels: Of the x axes and of the y axes.
            size: Of a panel in inches.
            places: Each (model, hookpoint); those of the recipe where none is given.
            shared: ``sharex`` and ``sharey`` of Matplotlib.

        Returns:
            The figure, and each panel with the rows of the table that it shows.
        """
        rows = self._rows_of_panels(list(places) or self.spec.trained[self.recipe])
        columns = max(map(len, rows.values()))
        across = 2 if columns > 2 else 1
        below = 0.19 * -(-len(legend) // across) + 0.42
        wide, tall = max(3.5, size[0] * columns), size[1] * len(rows) + below
        figure, axes = plot.canvas((wide, tall), len(rows), columns, **shared)
        for panel in axes[-1]:
            panel.set_xlabel(labels[0])
        for panel in axes[:, 0]:
            panel.set_ylabel(labels[1])
        if legend:
            plot.legend_below(figure, legend, across)
        panels = []
        for row, (model, hooks) in zip(axes, rows.items(), strict=True):
            for panel in row[len(hooks) :]:
                panel.remove()
            for hookpoint, panel in zip(hooks, row, strict=False):
                here = table[(table["model"] == model) & (table["hookpoint"] == hookpoint)]
                note = "\nnothing to draw" if here.empty else ""
                line = "\n" if len(model + hookpoint) > LONG else " "
                panel.set_title(f"{model},{line}{hookpoint}{note}")
                plot.grid(panel)
                panels.append((panel, here))
        return figure, panels

    def _rows_of_panels(self, places: list[tuple[str, str]]) -> dict[str, list[str]]:
        """Model -> its hookpoints, those that only another model has at such a layer included."""
        names = {hookpoint for _, hookpoint in places}
        at = {name: Place.named(name).layer for name in self.spec.hookpoints if name in names}
        layers = {(model, at[hookpoint]) for model, hookpoint in places}
        rows = {
            model: [name for name in at if (model, at[name]) in layers]
            for model in self.spec.models
        }
        return {model: hooks for model, hooks in rows.items() if hooks}
