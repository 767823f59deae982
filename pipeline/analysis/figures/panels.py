"""Parts of one panel of a figure: curves, overlap bands, axes, annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from pipeline.study.cell import KNOBS, knob_of
from pipeline.study.scope import Scope

BAND = "#B8B8B8"
CROSS: dict[str, Any] = {
    "marker": "x",
    "color": "black",
    "markersize": 9,
    "markeredgewidth": 1.3,
    "ls": "none",
}
"""Marker laid over a collapsed point."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """How one variant at one width (in multiples of d, so over all models) is drawn."""

    label: str
    name: str
    """The variant alone, to be written beside its curve."""
    colour: str
    marker: str
    line: str
    weight: float
    """Width of the line and size of the markers, in multiples of the usual ones."""
    hollow: bool = False
    """Whether its markers are open."""


def panels_of(
    spec: Scope,
    tall: float,
    legend: Sequence[Artist],
    labels: tuple[str, str],
    sharex: bool = False,
    sharey: bool = False,
    wide: float = 2.25,
) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    """A figure with a row of panels per model, a column per hookpoint, and a legend below.

    Args:
        spec: Has the models and the hookpoints.
        tall: Height of a row in inches.
        legend: Its handles, all with labels.
        labels: Of the x axes and of the y axes.
        sharex: Whether all panels have the x axis of the first.
        sharey: The same of the y axis.
        wide: Width of a column in inches.

    Returns:
        The figure, and the panel of each (model, hookpoint).
    """
    models, hookpoints = list(spec.models), spec.hookpoints
    across = 2 if len(hookpoints) > 2 else 1
    below = 0.19 * -(-len(legend) // across) + 0.12
    size = (max(3.5, wide * len(hookpoints)), tall * len(models) + below + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(
        len(models), len(hookpoints), squeeze=False, sharex=sharex, sharey=sharey
    )
    for panel in panels[-1]:
        panel.set_xlabel(labels[0])
    for panel in panels[:, 0]:
        panel.set_ylabel(labels[1])
    if legend:
        figure.legend(handles=legend, loc="outside lower center", ncols=across, frameon=False)
    return figure, dict(zip(product(models, hookpoints), panels.flat, strict=True))


def bands(panel: Axes, overlaps: pd.DataFrame) -> None:
    """Shade the L0 range of each comparison."""
    for low, high in overlaps[["overlap_lo", "overlap_hi"]].dropna().to_numpy():
        panel.axvspan(low, high, color=BAND, alpha=0.22, lw=0, zorder=0)
        for end in (low, high):
            panel.axvline(end, color=BAND, lw=0.7, zorder=0)


def drawable(points: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Points that a log axis can hold, in order of L0."""
    shown = points[(points["l0"] > 0) & points[metric].notna()]
    return shown.sort_values(["l0", *(name for name in KNOBS if name in shown), "variant"])


def curve(panel: Axes, points: pd.DataFrame, metric: str, style: Series) -> None:
    """Line through the points in order of L0, error bars, and one marker per point."""
    shown = drawable(points, metric)
    if shown.empty:
        return
    line = 1.3 * style.weight
    panel.plot(shown["l0"], shown[metric], color=style.colour, ls=style.line, lw=line, zorder=2)
    panel.errorbar(
        shown["l0"],
        shown[metric],
        xerr=shown["l0_se"],
        yerr=shown[f"{metric}_se"],
        fmt="none",
        ecolor=style.colour,
        elinewidth=0.8,
        capsize=1.5 if shown["l0_se"].notna().any() else 0,
        zorder=2,
    )
    for row in shown.to_dict("records"):
        hollow = style.hollow or (metric == "loss_recovered" and row["lr_noisy"])
        face = "white" if hollow else style.colour
        panel.plot(
            row["l0"],
            row[metric],
            marker=style.marker,
            markersize=4.5 * style.weight,
            markerfacecolor=face,
            markeredgecolor=style.colour,
            ls="none",
            zorder=3,
        )
        if row["collapsed"]:
            panel.plot(row["l0"], row[metric], **CROSS, zorder=4)


def dress(panel: Axes, points: pd.DataFrame, metric: str, title: str) -> None:
    """Axes of one panel, and in its title a note on points that they do not hold."""
    panel.set_xscale("log")
    panel.margins(x=0.08, y=0.14)
    outside = _frame(panel, drawable(points, metric), metric)
    low, high = panel.get_xlim()
    steps = (1, 1.5, 2, 3, 4, 5, 7) if high < 6 * low else (1, 2, 5) if high < 60 * low else (1,)
    panel.xaxis.set_major_locator(LogLocator(subs=steps))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    grid(panel)
    silent = int((points["l0"] == 0).sum())
    note = f"\n{silent} at L0 = 0, off the log axis" if silent else ""
    noun = "point" if outside == 1 else "points"
    note += f"\n{outside} {noun} outside the frame" if outside else ""
    if drawable(points, metric).empty:
        note += "\nnothing to draw"
    panel.set_title(title + note)


def _frame(panel: Axes, shown: pd.DataFrame, metric: str) -> int:
    """Leave out collapsed points far from all others, which would flatten them; how many."""
    far = _far(shown, metric)
    inside = shown[~far]
    if len(inside) < 2 or not far.any():
        return 0
    panel.set_xlim(inside["l0"].min() / 1.15, inside["l0"].max() * 1.15)
    if metric != "dead_fraction":  # whose axis all panels share
        least, most = inside[metric].min(), inside[metric].max()
        pad = 0.14 * (most - least) + 1e-3
        panel.set_ylim(least - pad, most + pad)
    return int(far.sum())


def _far(shown: pd.DataFrame, metric: str) -> pd.Series:
    """Which points are of a sweep that mostly collapsed and beyond the L0 of the others, or are of
    a run that collapsed and two heights of the intact ones or more above or below them."""
    fallen = shown["collapsed"] != ""
    lost = fallen.groupby(shown["series"]).transform("mean") > 0.5
    others = shown.loc[~lost, "l0"]
    far = lost & ~shown["l0"].between(others.min(), others.max())
    intact = shown.loc[~fallen, metric]
    if metric == "dead_fraction" or len(intact) < 2:
        return far
    height = 2 * (intact.max() - intact.min())
    return far | fallen & ~shown[metric].between(intact.min() - height, intact.max() + height)


def grid(panel: Axes) -> None:
    """A faint grid behind everything."""
    panel.grid(True, color="#E6E6E6", lw=0.5, zorder=0)
    panel.set_axisbelow(True)


def honest_zero(panel: Axes, points: pd.DataFrame) -> None:
    """A dead-fraction axis on which 0 is a place: linear below one latent, logarithmic above."""
    dead, one = points["dead_fraction"], 1 / points["width"].max()
    if dead.max() > 0:
        panel.set_yscale("symlog", linthresh=one, linscale=0.4)
        decades = [10.0**k for k in range(-8, 1) if 10.0**k >= one]
        panel.set_yticks([0, *decades])
        panel.set_yticks([], minor=True)
        panel.set_ylim(-0.35 * one, max(1.5 * dead.max(), 10 * one))
    else:
        panel.set_ylim(-0.04, 1)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


@dataclass
class Notes:
    """Texts in one panel, each where it covers neither a text nor a marker. Lay out first."""

    panel: Axes
    taken: list[Bbox] = field(default_factory=list)
    """In pixels."""

    @property
    def scale(self) -> float:
        """Pixels per point."""
        return self.panel.figure.dpi / 72

    def occupy(self, points: pd.DataFrame, metric: str) -> None:
        """Keep the markers of these points free."""
        self._keep_free(self._pixels(points, metric), 4)

    def occupy_line(self, points: pd.DataFrame, metric: str) -> None:
        """Keep the line through these points free."""
        for start, end in pairwise(self._pixels(points, metric)):
            steps = int(np.abs(end - start).max() / (2 * self.scale)) + 1
            self._keep_free(start + np.linspace(0, 1, steps + 1)[:, None] * (end - start), 2)

    def _keep_free(self, centres: np.ndarray, half: float) -> None:
        half *= self.scale
        self.taken += [Bbox([centre - half, centre + half]) for centre in centres]

    def _pixels(self, points: pd.DataFrame, metric: str) -> np.ndarray:
        return self.panel.transData.transform(points[["l0", metric]].to_numpy())

    def lambdas(self, points: pd.DataFrame, metric: str) -> None:
        """Write each point's lambda, or its k with the letter, above or below it."""
        for row in points.to_dict("records"):
            at = (row["l0"], row[metric])
            text = knob_of(row).removeprefix("λ ")
            self._place(at, text, 5.5, "#444444", [5, -5])

    def name_curve(self, points: pd.DataFrame, metric: str, style: Series) -> None:
        """Write the variant's name beside its curve, from the middle of the curve outwards."""
        middle = (len(points) - 1) / 2
        order = sorted(range(len(points)), key=lambda i: abs(i - middle))
        offsets = [13, -13, 20, -20, 28, -28]
        for i in order:
            row = points.iloc[i]
            at = (float(row["l0"]), float(row[metric]))
            if self._place(at, style.name, 7, style.colour, offsets):
                return

    def _place(
        self,
        at: tuple[float, float],
        text: str,
        size: float,
        colour: str,
        offsets: Sequence[float],
    ) -> bool:
        x, y = self.panel.transData.transform(at)
        for dy in offsets:
            box = self._box(x, y + dy * self.scale, text, size, dy > 0)
            inside = all(self.panel.bbox.contains(x, y) for x, y in (box.min, box.max))
            if box.count_overlaps(self.taken) or not inside:
                continue
            self.taken.append(box)
            self.panel.annotate(
                text,
                at,
                xytext=(0, dy),
                textcoords="offset points",
                ha="center",
                va="bottom" if dy > 0 else "top",
                fontsize=size,
                color=colour,
            )
            return True
        return False

    def _box(self, x: float, y: float, text: str, size: float, up: bool) -> Bbox:
        half, tall = 0.31 * size * len(text) * self.scale, 1.1 * size * self.scale
        low = y if up else y - tall
        return Bbox.from_extents(x - half, low, x + half, low + tall)


def at(table: pd.DataFrame, model: str, hookpoint: str) -> pd.DataFrame:
    """Rows of one panel."""
    return table[(table["model"] == model) & (table["hookpoint"] == hookpoint)]
