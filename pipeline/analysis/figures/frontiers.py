"""All frontiers of a study of several families: R2 against log L0, every sweep in one panel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, StrMethodFormatter

from pipeline.analysis.figures.line_ends import LineEnd, name_ends
from pipeline.analysis.figures.panels import Series, at, curve, drawable, dress, panels_of
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.analysis.numbers import variant_label
from pipeline.study.cell import KNOBS
from pipeline.study.outputs import POINTS
from sagsae.autoencoders.registry import VARIANTS, sides, stem

METRIC = "r2"
WIDE, TALL = 3.6, 2.6
"""Size of a panel with its names, in inches."""
POINTS_PER_INCH = 72
TICKS = (-1, 0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.96, 0.98, 0.99, 0.995)
"""Of the axis of R2: nearly even where R2 is spaced by the logarithm of 1 - R2."""
ROOM = 1.12
"""Above and below what is drawn, as a factor of 1 - R2."""
LEAST_TICKS = 4
"""With fewer in a panel, its ticks are evenly spaced in R2."""


def figure_frontiers(shown: Shown) -> Drawn:
    """All frontiers.

    R2 against L0 of every sweep. A colour is a family of variants. Solid lines with filled markers
    have latents of one sign, dashed lines with open markers latents of two. Higher and further left
    is better. R2 is spaced by the logarithm of 1 - R2.
    """
    points = replace(shown, everything=True).rows(POINTS)
    series = _styles(points, shown)
    labels = "L0 (active latents per token)", "R2"
    figure, panels = panels_of(shown.placed, TALL, [], labels, wide=WIDE)
    for (model, hookpoint), panel in panels.items():
        here = at(points, model, hookpoint)
        for label, style in series.items():
            curve(panel, here[here["series"] == label], METRIC, style)
        dress(panel, here, METRIC, f"{model}, {hookpoint}")
        space_by_unexplained(panel, drawable(here, METRIC)[METRIC])
    figure.draw_without_rendering()  # names need the height of the panels
    for place, panel in panels.items():
        tall = panel.bbox.height / figure.dpi * POINTS_PER_INCH
        name_ends(panel, _ends(at(points, *place), series, panel.get_xlim()), tall)
    return figure, _numbers(points)


def space_by_unexplained(panel: Axes, values: pd.Series) -> None:
    """Space R2 by the logarithm of the share that is left, so that good sweeps stand apart.

    Args:
        panel: Its limits say what it holds.
        values: Those that are drawn. One of 1 has no place on such an axis, which then stays.
    """
    held = values[values.between(*panel.get_ylim())]
    if held.empty or held.max() >= 1:
        return
    left = 1 - held
    panel.set_yscale(
        "function",
        functions=(lambda r2: -np.log(np.maximum(1 - r2, 1e-9)), lambda x: 1 - np.exp(-x)),
    )
    low, high = 1 - left.max() * ROOM, 1 - left.min() / ROOM
    panel.set_ylim(low, high)
    ticks = [tick for tick in TICKS if low <= tick <= high]
    even = len(ticks) < LEAST_TICKS
    panel.yaxis.set_major_locator(MaxNLocator(LEAST_TICKS) if even else FixedLocator(ticks))
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _styles(points: pd.DataFrame, shown: Shown) -> dict[str, Series]:
    """How each series looks, in the order of legends."""
    variants = points.drop_duplicates("series").set_index("series")["variant"]
    found = {}
    for label, usual in shown.series.items():
        if label not in variants:
            continue
        variant = variants[label]
        known, two = stem(variant) in VARIANTS, sides(variant) == 2
        found[label] = replace(
            usual,
            colour=VARIANTS[stem(variant)].colour if known else usual.colour,
            line="--" if two else "-",
            hollow=two,
            weight=0.75,
        )
    return found


def _ends(
    points: pd.DataFrame, series: dict[str, Series], limits: tuple[float, float]
) -> list[LineEnd]:
    """The point of the largest L0 that is seen of each line; its width where the variant has
    several."""
    found = drawable(points, METRIC)
    found = found[found["l0"].between(*limits)]
    widths = found.groupby("variant")["width"].nunique()
    ends = []
    for label, style in series.items():
        line = found[found["series"] == label]
        if len(line):
            last = line.iloc[-1]
            named = variant_label(last["variant"])
            several = f", {last['width']}" if widths[last["variant"]] > 1 else ""
            ends.append(
                LineEnd(text=named + several, colour=style.colour, x=last["l0"], y=last[METRIC])
            )
    return ends


def _numbers(points: pd.DataFrame) -> pd.DataFrame:
    """What is drawn, a row per point."""
    columns = ["recipe", "model", "hookpoint", "series", "variant", "width"]
    columns += [name for name in KNOBS if name in points] + ["seeds"]
    shown = points.assign(family=points["variant"].map(stem), sides=points["variant"].map(sides))
    return shown[[*columns, "family", "sides", "l0", "l0_se", METRIC, f"{METRIC}_se", "collapsed"]]
