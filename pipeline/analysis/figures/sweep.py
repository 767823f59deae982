"""Figures of sweeps: all frontiers where all sweeps are ranked; figures 2, 3 and R², one metric
against log L0; figure 11, empirical distribution functions of calibration slopes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.analysis.figure import Cut, figure, of_sweeps, under_each_recipe
from pipeline.analysis.figures import mpl, plot
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.analysis.tables.cells import POINTS
from pipeline.analysis.tables.comparison import COMPARISON
from pipeline.analysis.tables.latents import CALIBRATION
from pipeline.study.cell import KNOBS
from pipeline.study.scope import SWEPT, Scope
from sagsae.autoencoders.registry import sides, stem

# Of the axis of R²: nearly even where R² is spaced by the logarithm of 1 - R².
TICKS = (-1, 0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.96, 0.98, 0.99, 0.995)
# Above and below what is drawn, as a factor of 1 - R².
ROOM = 1.12
# With fewer in a panel, its ticks are evenly spaced in R².
LEAST_TICKS = 4
# Columns of numbers, where the study has them.
POINT = ["recipe", "model", "hookpoint", "series", "variant", "width", *KNOBS, "seeds"]


def _when(scope: Scope) -> Iterable[Cut]:
    return under_each_recipe(scope) if scope.ranks_all else ()


@figure(
    [POINTS],
    when=_when,
    title="All frontiers",
    caption="A line shows R² against L0 of one sweep. The higher line is better.",
)
def figure_frontiers(shown: Shown) -> Drawn:
    points = plot.marks(replace(shown, everything=True).rows(POINTS), "r2")
    points = points.assign(family=points["variant"].map(stem), sides=points["variant"].map(sides))
    series = shown.lines(plot.in_frame(points))
    drawing, panels = shown.panels(points, plot.legend_of(series), (plot.L0, "R²"), (3.6, 2.6))
    for panel, here in panels:
        plot.curves(panel, here, series)
        plot.dress(panel, here)
        _space_by_unexplained(panel, plot.drawable(here)["value"])
    names = [*POINT, "family", "sides", "l0", "l0_se", "r2", "r2_se", "collapsed"]
    return drawing, points.filter(names)


def _space_by_unexplained(panel: mpl.axes.Axes, values: pd.Series) -> None:
    """Space R² by the logarithm of the share that is left, so that good sweeps stand apart.

    Args:
        panel: Its limits say what it holds.
        values: Those that are drawn. One of 1 has no place on such an axis, which then stays.
    """
    held = values[values.between(*panel.get_ylim())]
    if held.empty or held.max() >= 1:
        return
    panel.set_yscale(
        "function",
        functions=(lambda r2: -np.log(np.maximum(1 - r2, 1e-9)), lambda x: 1 - np.exp(-x)),
    )
    low, high = 1 - (1 - held.min()) * ROOM, 1 - (1 - held.max()) / ROOM
    panel.set_ylim(low, high)
    ticks = [tick for tick in TICKS if low <= tick <= high]
    even, fixed = mpl.ticker.MaxNLocator(LEAST_TICKS), mpl.ticker.FixedLocator(ticks)
    panel.yaxis.set_major_locator(even if len(ticks) < LEAST_TICKS else fixed)
    panel.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:g}"))


@figure(
    [POINTS, COMPARISON],
    when=of_sweeps,
    of_many=True,
    title="R² against L0",
    caption="A line shows the share of variance that a variant explains at each number of "
    "active latents. The higher line is better; where a range is shaded, compare in it.",
)
def figure_r2(shown: Shown) -> Drawn:
    return against_l0(shown, "r2")


@figure(
    [POINTS, COMPARISON],
    when=of_sweeps,
    of_many=True,
    title="Dead fraction against L0",
    caption="A line shows the share of latents that never fire on held-out tokens. The "
    "lower line is better; where a range is shaded, compare in it.",
)
def figure_2(shown: Shown) -> Drawn:
    return against_l0(shown, "dead_fraction")


@figure(
    [POINTS, COMPARISON],
    when=of_sweeps,
    title="Loss Recovered against L0",
    caption="A line shows the share of the increase of the next-token loss under zero ablation "
    "that "
    "the reconstruction avoids. The higher line is better; where a range is shaded, compare in it.",
)
def figure_3(shown: Shown) -> Drawn:
    return against_l0(shown, "loss_recovered")


def against_l0(shown: Shown, metric: str) -> Drawn:
    """A metric of ``SWEPT`` against log L0. The numbers have a row per point and per band."""
    points, bands = plot.marks(shown.rows(POINTS), metric), shown.overlaps
    parts = [points.assign(kind="point"), bands.assign(kind="overlap")]
    table = pd.concat(parts, ignore_index=True)
    dead = metric == "dead_fraction"
    series = shown.lines(plot.in_frame(points, shared_y=dead))
    legend = plot.legend_of(series)
    if len(bands):
        label = "L0 overlap of the comparison"
        legend.append(mpl.patches.Patch(color=plot.BAND, alpha=0.4, label=label))
    if fallen := (points["collapsed"] != "").sum():
        words = f"collapsed ({fallen}, named in points.csv)"
        legend += plot.legend_of({words: plot.CROSS | {"markersize": 6}})
    drawing, panels = shown.panels(table, legend, (plot.L0, SWEPT[metric]), sharey=dead)
    for panel, rows in panels:
        here = rows[rows["kind"] == "point"]
        for ends in rows[["overlap_lo", "overlap_hi"]].dropna().to_numpy():
            panel.axvspan(*ends, color=plot.BAND, alpha=0.22, zorder=0)
        plot.curves(panel, here, series)
        plot.dress(panel, here, shared_y=dead)
    if dead:
        _honest_zero(drawing.axes[0], points)
    names = ["kind", *POINT, "l0", "l0_se", "value", "value_se", "collapsed"]
    return drawing, table.filter([*names, "comparison", "overlap_lo", "overlap_hi"])


def _honest_zero(panel: mpl.axes.Axes, points: pd.DataFrame) -> None:
    """A dead-fraction axis on which 0 is a place: linear below one latent, logarithmic above."""
    most, latent = points["dead_fraction"].max(), 1 / points["width"].max()
    if most > 0:
        panel.set_yscale("symlog", linthresh=latent, linscale=0.4)
        panel.set_yticks([0, *(10.0**k for k in range(-8, 1) if 10.0**k >= latent)])
        panel.set_yticks([], minor=True)
        panel.set_ylim(-latent, max(1.5 * most, 10 * latent))
    else:
        panel.set_ylim(-0.04, 1)
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


# Sign of a slope -> its name, opacity of its line.
SIGNS = {"positive": ("z > 0", 1.0), "negative": ("z < 0", 0.45)}
# Of the slopes at each end, the percentage that may lie outside the axis; the CSV has all.
MARGIN = 5


@figure(
    [CALIBRATION, POINTS],
    when=of_sweeps,
    title="Calibration slopes",
    caption="A line shows the share of latents with a calibration slope up to each value. A "
    "line that rises more steeply at 1 belongs to better calibrated codes.",
)
def figure_11(shown: Shown) -> Drawn:
    slopes = shown.rows(CALIBRATION)
    there = set(zip(slopes["series"], slopes["sign"], strict=True))
    lines = {
        (label, sign): look | {"marker": "", "alpha": opacity, "label": f"{label}, {name}"}
        for label, look in shown.lines(slopes).items()
        for sign, (name, opacity) in SIGNS.items()
        if (label, sign) in there
    }
    legend = [mpl.lines.Line2D([], [], **look) for look in lines.values()]
    labels = "Calibration slope (1: no shrinkage)", "Share of latents"
    drawing, panels = shown.panels(slopes, legend, labels, (2.25, 1.85), sharex=True, sharey=True)
    for panel, here in panels:
        for (label, sign), look in lines.items():
            curve = here[(here["series"] == label) & (here["sign"] == sign)]
            share = curve["percent"] / 100
            panel.plot(curve["slope"], share, **look)
            low, high = curve["slope"] - curve["slope_se"], curve["slope"] + curve["slope_se"]
            shade = {"color": look["color"], "alpha": 0.15 * look["alpha"], "lw": 0}
            panel.fill_betweenx(share, low, high, **shade)
        panel.axvline(1, color="#888888", lw=0.8, ls="--", zorder=1)
    inner = slopes.loc[slopes["percent"].between(MARGIN, 100 - MARGIN), "slope"].tolist()
    least, most = min([1.0, *inner]), max([1.0, *inner])
    room = 0.05 * (most - least) or 0.1
    drawing.axes[0].set_xlim(least - room, most + room)
    drawing.axes[0].set_ylim(0, 1)
    return drawing, slopes.rename(columns={"percent": "percent_of_latents"})
