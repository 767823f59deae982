"""Parts of figures: a panel per model and hookpoint, curves, axes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd

from pipeline.analysis.figures import mpl
from pipeline.analysis.figures.shown import Look
from pipeline.study.cell import KNOBS

BAND = "#B8B8B8"
# Marker laid over a collapsed point.
CROSS: dict[str, Any] = {
    "marker": "x",
    "color": "black",
    "markersize": 9,
    "markeredgewidth": 1.3,
    "ls": "none",
}
L0 = "L0 (active latents per token)"


def panels_of(
    places: tuple[list[str], list[str]],
    table: pd.DataFrame,
    legend: Sequence[mpl.artist.Artist],
    labels: tuple[str, str],
    size: tuple[float, float] = (2.25, 1.95),
    **shared: Any,
) -> tuple[mpl.figure.Figure, list[tuple[mpl.axes.Axes, pd.DataFrame]]]:
    """A figure with a row of panels per model, a column per hookpoint, and a legend below.

    Args:
        places: The models, and the hookpoints.
        table: What is drawn, with columns ``model`` and ``hookpoint``.
        legend: Its handles, all with labels.
        labels: Of the x axes and of the y axes.
        size: Of a panel in inches.
        shared: ``sharex`` and ``sharey`` of Matplotlib.

    Returns:
        The figure, and each panel with the rows of the table that it shows.
    """
    models, hookpoints = places
    across = 2 if len(hookpoints) > 2 else 1
    below = 0.19 * -(-len(legend) // across) + 0.42
    wide, tall = max(3.5, size[0] * len(hookpoints)), size[1] * len(models) + below
    figure = mpl.figure.Figure(figsize=(wide, tall), layout="constrained")
    axes = figure.subplots(len(models), len(hookpoints), squeeze=False, **shared)
    for panel in axes[-1]:
        panel.set_xlabel(labels[0])
    for panel in axes[:, 0]:
        panel.set_ylabel(labels[1])
    if legend:
        figure.legend(handles=legend, loc="outside lower center", ncols=across, frameon=False)
    panels = []
    for (model, hookpoint), panel in zip(product(models, hookpoints), axes.flat, strict=True):
        here = table[(table["model"] == model) & (table["hookpoint"] == hookpoint)]
        note = "\nnothing to draw" if here.empty else ""
        panel.set_title(f"{model}, {hookpoint}{note}")
        grid(panel)
        panels.append((panel, here))
    return figure, panels


def grid(panel: mpl.axes.Axes) -> None:
    """A faint grid behind everything."""
    panel.grid(True, color="#E6E6E6", lw=0.5, zorder=0)
    panel.set_axisbelow(True)


def decimal_ticks(axis: mpl.axis.Axis, steps: Sequence[float] = (1, 2, 5)) -> None:
    """A log axis with numbers such as 0.002 and 5."""
    axis.set_major_locator(mpl.ticker.LogLocator(subs=steps))
    axis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(mpl.ticker.NullFormatter())


def marks(points: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Points with one metric as ``value`` and ``value_se``."""
    return points.assign(value=points[metric], value_se=points[f"{metric}_se"])


def drawable(points: pd.DataFrame) -> pd.DataFrame:
    """Points that a log axis can hold, in order of L0."""
    shown = points[(points["l0"] > 0) & points["value"].notna()]
    return shown.sort_values(["l0", *(name for name in KNOBS if name in shown), "variant"])


def curves(panel: mpl.axes.Axes, points: pd.DataFrame, series: dict[str, Look]) -> None:
    """Of the `marks` of each series a line through the intact ones in order of L0, error bars, and
    a marker per point."""
    found = drawable(points)
    for label, look in series.items():
        shown = found[found["series"] == label]
        if shown.empty:
            continue
        intact, fallen = shown[shown["collapsed"] == ""], shown[shown["collapsed"] != ""]
        panel.errorbar(
            intact["l0"],
            intact["value"],
            xerr=intact["l0_se"],
            yerr=intact["value_se"],
            elinewidth=0.8,
            capsize=1.5 if intact["l0_se"].notna().any() else 0,
            zorder=2,
            **look,
        )
        panel.plot(fallen["l0"], fallen["value"], **look | {"ls": "none"})
        panel.plot(fallen["l0"], fallen["value"], **CROSS, zorder=4)


def dress(panel: mpl.axes.Axes, points: pd.DataFrame, *, shared_y: bool = False) -> None:
    """A log axis of L0, and in the title a note on points that the axes do not hold.

    Collapsed points far from all others are left out: they would flatten the others.

    Args:
        panel: One that ``points`` were drawn in.
        points: See `marks`.
        shared_y: Whether all panels have one y axis, which then holds all points.
    """
    panel.set_xscale("log")
    panel.margins(x=0.08, y=0.14)
    shown = drawable(points)
    far = _far(shown, shared_y)
    inside = shown[~far]
    outside = int(far.sum()) if len(inside) > 1 else 0
    if outside:
        panel.set_xlim(inside["l0"].min() / 1.15, inside["l0"].max() * 1.15)
    if outside and not shared_y:
        least, most = inside["value"].min(), inside["value"].max()
        pad = 0.14 * (most - least) + 1e-3
        panel.set_ylim(least - pad, most + pad)
    low, high = panel.get_xlim()
    steps = (1, 1.5, 2, 3, 4, 5, 7) if high < 6 * low else (1, 2, 5) if high < 60 * low else (1,)
    decimal_ticks(panel.xaxis, steps)
    silent = int((points["l0"] == 0).sum())
    note = f"\n{silent} at L0 = 0, off the log axis" if silent else ""
    noun = "point" if outside == 1 else "points"
    note += f"\n{outside} {noun} outside the frame" if outside else ""
    note += "\nnothing to draw" if len(points) and shown.empty else ""
    panel.set_title(panel.get_title() + note)


def _far(shown: pd.DataFrame, shared_y: bool) -> pd.Series:
    """Which points are of a sweep that mostly collapsed and beyond the L0 of the others, or are of
    a run that collapsed and two heights of the intact ones or more above or below them."""
    fallen = shown["collapsed"] != ""
    lost = fallen.groupby(shown["series"]).transform("mean") > 0.5
    others = shown.loc[~lost, "l0"]
    far = lost & ~shown["l0"].between(others.min(), others.max())
    intact = shown.loc[~fallen, "value"]
    if shared_y or len(intact) < 2:
        return far
    height = 2 * (intact.max() - intact.min())
    return far | fallen & ~shown["value"].between(intact.min() - height, intact.max() + height)
