"""Figure 11: empirical distribution functions of calibration slopes, by sign and variant."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.figures.panels import Series, at, grid
from pipeline.study.comparison_spec import ComparisonSpec

SIGNS = {"positive": ("z > 0", 1.0), "negative": ("z < 0", 0.45)}
"""Sign -> its name, opacity of its line."""
MARGIN = 0.05
"""Of the slopes at each end, the share that may lie outside the axis; the CSV has all."""


def drawn(slopes: pd.DataFrame) -> pd.DataFrame:
    """What the figure shows: one row a quantile."""
    return slopes.rename(columns={"percent": "percent_of_latents"})


def draw(slopes: pd.DataFrame, spec: ComparisonSpec, series: dict[str, Series]) -> Figure:
    """A row of panels a model, a column a hookpoint; a line a (series, sign)."""
    rows, columns = len(spec.models), len(spec.hookpoints)
    series = {label: style for label, style in series.items() if label in set(slopes["series"])}
    handles = _legend(slopes, series)
    across = 2 if columns > 2 else 1
    below = 0.19 * -(-len(handles) // across) + 0.12
    size = (max(3.5, 2.25 * columns), 1.85 * rows + below + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex="all", sharey="all")
    for i, model in enumerate(spec.models):
        for j, hookpoint in enumerate(spec.hookpoints):
            here, panel = at(slopes, model, hookpoint), axes[i, j]
            for label, style in series.items():
                _curves(panel, here[here["series"] == label], style)
            panel.set_title(f"{model}, {hookpoint}" + ("\nnothing to draw" if here.empty else ""))
            panel.axvline(1, color="#888888", lw=0.8, ls="--", zorder=1)
            grid(panel)
            if j == 0:
                panel.set_ylabel("Share of latents")
            if i == rows - 1:
                panel.set_xlabel("Calibration slope (1: no shrinkage)")
    axes[0, 0].set_xlim(*_span(slopes))
    axes[0, 0].set_ylim(0, 1)
    figure.legend(handles=handles, loc="outside lower center", ncols=across, frameon=False)
    return figure


def _curves(panel: Axes, slopes: pd.DataFrame, style: Series) -> None:
    for sign, (_, opacity) in SIGNS.items():
        shown = slopes[slopes["sign"] == sign]
        share = shown["percent"] / 100
        panel.plot(
            shown["slope"],
            share,
            color=style.colour,
            ls=style.line,
            alpha=opacity,
            lw=1.3 * style.weight,
        )
        if shown["slope_se"].notna().any():
            low, high = shown["slope"] - shown["slope_se"], shown["slope"] + shown["slope_se"]
            panel.fill_betweenx(share, low, high, color=style.colour, alpha=0.15 * opacity, lw=0)


def _span(slopes: pd.DataFrame) -> tuple[float, float]:
    """Limits that hold 1 and all but the outer ``MARGIN`` of each line, with some room."""
    inner = slopes[slopes["percent"].between(100 * MARGIN, 100 * (1 - MARGIN))]["slope"]
    low, high = min([1.0, *inner]), max([1.0, *inner])
    room = 0.05 * (high - low) or 0.1
    return low - room, high + room


def _legend(slopes: pd.DataFrame, series: dict[str, Series]) -> list[Line2D]:
    handles = []
    for label, style in series.items():
        for sign, (name, opacity) in SIGNS.items():
            if ((slopes["series"] == label) & (slopes["sign"] == sign)).any():
                line = Line2D([], [], color=style.colour, ls=style.line, alpha=opacity)
                line.set_label(f"{label}, {name}")
                handles.append(line)
    return handles
