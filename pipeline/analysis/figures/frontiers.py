"""All frontiers where all sweeps are ranked: R2 against log L0, every sweep in one panel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.analysis.figure import Cut, figure, under_each_recipe
from pipeline.analysis.figures import mpl
from pipeline.analysis.figures.panels import L0, curves, drawable, dress, marks, panels_of
from pipeline.analysis.figures.shown import Drawn, Look, Shown, legend_of, look_of
from pipeline.analysis.tables.cells import POINTS
from pipeline.study.cell import KNOBS
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import VARIANTS, sides, stem

# Of the axis of R2: nearly even where R2 is spaced by the logarithm of 1 - R2.
TICKS = (-1, 0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.96, 0.98, 0.99, 0.995)
# Above and below what is drawn, as a factor of 1 - R2.
ROOM = 1.12
# With fewer in a panel, its ticks are evenly spaced in R2.
LEAST_TICKS = 4


def _when(scope: Scope) -> Iterable[Cut]:
    return under_each_recipe(scope) if scope.ranks_all else ()


@figure([POINTS], when=_when)
def figure_frontiers(shown: Shown) -> Drawn:
    """All frontiers.

    A line shows R2 against L0 of one sweep; lines of one family have one colour. The higher line is
    better.
    """
    points = marks(replace(shown, everything=True).rows(POINTS), "r2")
    series = _styles(points, shown)
    drawing, panels = panels_of(shown.places, points, legend_of(series), (L0, "R2"), (3.6, 2.6))
    for panel, here in panels:
        curves(panel, here, series)
        dress(panel, here)
        _space_by_unexplained(panel, drawable(here)["value"])
    columns = ["recipe", "model", "hookpoint", "series", "variant", "width", *KNOBS, "seeds"]
    columns += ["family", "sides", "l0", "l0_se", "r2", "r2_se", "collapsed"]
    numbers = points.assign(family=points["variant"].map(stem), sides=points["variant"].map(sides))
    return drawing, numbers.filter(columns)  # which has no k where no sweep has


def _styles(points: pd.DataFrame, shown: Shown) -> dict[str, Look]:
    """How each series looks, in the order of legends."""
    variants = points.drop_duplicates("series").set_index("series")["variant"]
    found = {}
    for label, usual in shown.lines(points).items():
        known, two = VARIANTS.get(stem(variants[label])), sides(variants[label]) == 2
        colour = known.colour if known else usual["color"]
        found[label] = look_of(colour, usual["marker"], "--" if two else "-", 0.75, hollow=two)
    return found


def _space_by_unexplained(panel: mpl.axes.Axes, values: pd.Series) -> None:
    """Space R2 by the logarithm of the share that is left, so that good sweeps stand apart.

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
    ticker, even = mpl.ticker, len(ticks) < LEAST_TICKS
    panel.yaxis.set_major_locator(
        ticker.MaxNLocator(LEAST_TICKS) if even else ticker.FixedLocator(ticks)
    )
    panel.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
