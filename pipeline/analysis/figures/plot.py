"""Parts of figures: panels, curves, axes, legends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.analysis.figures import mpl
from pipeline.study.cell import KNOBS

# How a line with markers looks, in Matplotlib's words.
Look = dict[str, Any]
BAND = "#B8B8B8"
# Marker laid over a collapsed point.
CROSS: Look = {
    "marker": "x",
    "color": "black",
    "markersize": 9,
    "markeredgewidth": 1.3,
    "ls": "none",
}
L0 = "L0 (active latents per token)"
# By this factor an axis of L0 is widened that has fewer than two ticks: Matplotlib would add many.
WIDER = 1.5


def canvas(
    size: tuple[float, float], rows: int = 1, columns: int = 1, **shared: Any
) -> tuple[mpl.figure.Figure, Any]:
    """A figure of a size in inches and its panels, [rows, columns]; ``shared`` are further
    arguments of Matplotlib's ``subplots``."""
    figure = mpl.figure.Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def legend_of(looks_by_label: Mapping[str, Look]) -> list[mpl.artist.Artist]:
    """A line of the legend for each label."""
    return [mpl.lines.Line2D([], [], label=label, **look) for label, look in looks_by_label.items()]


def legend_below(
    figure: mpl.figure.Figure, handles: Iterable[mpl.artist.Artist], columns: int = 1
) -> None:
    """A legend below all panels."""
    figure.legend(handles=[*handles], loc="outside lower center", ncols=columns, frameon=False)


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


def in_frame(points: pd.DataFrame, *, shared_y: bool = False) -> pd.DataFrame:
    """The points of each model and hookpoint that lie in the frame of their panel, see `dress`."""
    parts = []
    for _, here in points.groupby(["model", "hookpoint"]):
        shown = drawable(here)
        inside = shown[~_far(shown, shared_y)]
        parts.append(inside if len(inside) > 1 else shown)
    return pd.concat(parts) if parts else points


def curves(panel: mpl.axes.Axes, points: pd.DataFrame, series: Mapping[str, Look]) -> None:
    """Draw the `marks` of each series: a line through the intact ones in order of L0, error bars,
    and a marker per point."""
    ordered = drawable(points)
    for label, look in series.items():
        shown = ordered[ordered["series"] == label]
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
    if high < WIDER**2 * low:
        low, high = panel.set_xlim(low / WIDER, high * WIDER)
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
