"""Names at the ends of lines, in a column right of a panel, apart from one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from sagsae.frontiers import Floats

SIZE = 7.0
"""Of the names, in points."""
BETWEEN = 1.2
"""Distance of two names, in multiples of their size."""
COLUMN = 1.045
"""Where names begin, in widths of the panel."""


@dataclass(frozen=True, kw_only=True)
class LineEnd:
    """The end of one line, and what is to be written there."""

    text: str
    colour: str
    x: float
    y: float
    """In the units of the panel's axes."""


def spread(wanted: Floats, least: float, low: float, high: float) -> Floats:
    """Places that are as near as possible to those that are wanted, and apart from one another.

    They keep their order and minimise the sum of squared distances. Where there is no room for
    ``least``, they are evenly spaced over the whole range.

    Args:
        wanted: [n] float64.
        least: Smallest distance of two places.
        low: Smallest place.
        high: Largest place.
    """
    if wanted.size < 2:
        return np.clip(wanted, low, high)
    least = min(least, (high - low) / (wanted.size - 1))
    order = np.argsort(wanted, kind="stable")
    steps = least * np.arange(wanted.size)
    placed = np.clip(_rising(wanted[order] - steps), low, high - steps[-1]) + steps
    found = np.empty_like(wanted)
    found[order] = placed
    return found


def _rising(values: Floats) -> Floats:
    """The nearest values that do not fall, in the sum of squares: those that fall are pooled."""
    pools: list[tuple[float, int]] = []
    for value in values.tolist():
        mean, size = value, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        pools.append((mean, size))
    return np.repeat([mean for mean, _ in pools], [size for _, size in pools])


def name_ends(panel: Axes, ends: Sequence[LineEnd], tall: float) -> None:
    """Write the names of lines right of a panel, each joined to the end of its line.

    Args:
        panel: Its axes have their final limits.
        ends: One for each line.
        tall: Height of the panel in points.
    """
    inside = panel.transAxes.inverted()
    wanted = [inside.transform(panel.transData.transform((end.x, end.y)))[1] for end in ends]
    places = spread(np.array(wanted, np.float64), BETWEEN * SIZE / tall, 0.0, 1.0)
    for end, place in zip(ends, places, strict=True):
        panel.annotate(
            end.text,
            (end.x, end.y),
            xytext=(COLUMN, place),
            textcoords="axes fraction",
            va="center",
            fontsize=SIZE,
            color=end.colour,
            arrowprops={
                "arrowstyle": "-",
                "color": end.colour,
                "lw": 0.4,
                "alpha": 0.6,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 3,
            },
            annotation_clip=False,
        )
