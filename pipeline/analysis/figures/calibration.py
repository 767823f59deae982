"""Figure 11: empirical distribution functions of calibration slopes, by sign and variant."""

from __future__ import annotations

import pandas as pd

from pipeline.analysis.figure import figure, of_sweeps
from pipeline.analysis.figures import mpl
from pipeline.analysis.figures.panels import panels_of
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.analysis.tables.cells import POINTS
from pipeline.analysis.tables.latents import CALIBRATION

# Sign -> its name, opacity of its line.
SIGNS = {"positive": ("z > 0", 1.0), "negative": ("z < 0", 0.45)}
# Of the slopes at each end, the percentage that may lie outside the axis; the CSV has all.
MARGIN = 5


@figure([CALIBRATION, POINTS], when=of_sweeps)
def figure_11(shown: Shown) -> Drawn:
    """Calibration slopes.

    A line shows the share of latents with a calibration slope up to each value. A line that rises
    more steeply at 1 belongs to better calibrated codes.
    """
    slopes = shown.rows(CALIBRATION)
    lines = {
        (label, sign): look | {"marker": "", "alpha": opacity, "label": f"{label}, {name}"}
        for label, look in shown.lines(slopes).items()
        for sign, (name, opacity) in SIGNS.items()
        if ((slopes["series"] == label) & (slopes["sign"] == sign)).any()
    }
    legend = [mpl.lines.Line2D([], [], **look) for look in lines.values()]
    labels = "Calibration slope (1: no shrinkage)", "Share of latents"
    drawing, panels = panels_of(
        shown.places, slopes, legend, labels, (2.25, 1.85), sharex=True, sharey=True
    )
    for panel, here in panels:
        for (label, sign), look in lines.items():
            curve = here[(here["series"] == label) & (here["sign"] == sign)]
            share = curve["percent"] / 100
            panel.plot(curve["slope"], share, **look)
            low, high = curve["slope"] - curve["slope_se"], curve["slope"] + curve["slope_se"]
            shade = {"color": look["color"], "alpha": 0.15 * look["alpha"], "lw": 0}
            panel.fill_betweenx(share, low, high, **shade)
        panel.axvline(1, color="#888888", lw=0.8, ls="--", zorder=1)
    drawing.axes[0].set_xlim(*_span(slopes))
    drawing.axes[0].set_ylim(0, 1)
    return drawing, slopes.rename(columns={"percent": "percent_of_latents"})


def _span(slopes: pd.DataFrame) -> tuple[float, float]:
    """Limits that hold 1 and all but the outer ``MARGIN`` of each line, with some room."""
    inner = slopes.loc[slopes["percent"].between(MARGIN, 100 - MARGIN), "slope"]
    low, high = min([1.0, *inner]), max([1.0, *inner])
    room = 0.05 * (high - low) or 0.1
    return low - room, high + room
