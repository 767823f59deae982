"""Figure 11: empirical distribution functions of calibration slopes, by sign and variant."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pipeline.analysis.figures.panels import Series, at, grid, panels_of
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.study.outputs import CALIBRATION

SIGNS = {"positive": ("z > 0", 1.0), "negative": ("z < 0", 0.45)}
"""Sign -> its name, opacity of its line."""
MARGIN = 0.05
"""Of the slopes at each end, the share that may lie outside the axis; the CSV has all."""


def figure_11(shown: Shown) -> Drawn:
    """Calibration slopes.

    Empirical distribution over latents of the slope by which a code would have to be multiplied to
    fit best, each sign apart (negative sides paler), at the lambda whose L0 is nearest the first
    matched L0. 1 is no shrinkage; above 1 the code is too small. Shaded: ± one standard error over
    seeds. Each end of the axis may cut off 5 % of a line. The variant whose lines rise more steeply
    at 1 has the better calibrated codes.
    """
    slopes = shown.rows(CALIBRATION)
    known = set(slopes["series"])
    series = {label: style for label, style in shown.series.items() if label in known}
    labels = "Calibration slope (1: no shrinkage)", "Share of latents"
    legend = _legend(slopes, series)
    figure, panels = panels_of(shown.placed, 1.85, legend, labels, sharex=True, sharey=True)
    for (model, hookpoint), panel in panels.items():
        here = at(slopes, model, hookpoint)
        for label, style in series.items():
            _curves(panel, here[here["series"] == label], style)
        panel.set_title(f"{model}, {hookpoint}" + ("\nnothing to draw" if here.empty else ""))
        panel.axvline(1, color="#888888", lw=0.8, ls="--", zorder=1)
        grid(panel)
    figure.axes[0].set_xlim(*_span(slopes))
    figure.axes[0].set_ylim(0, 1)
    return figure, slopes.rename(columns={"percent": "percent_of_latents"})


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
