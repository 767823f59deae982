"""What a drawn figure shows, read off its artists: of each panel the points of each label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

Series = Mapping[str, np.ndarray]
"""Label -> [points, 5]: x, y, error of x, error of y below and above; NaN where there is none."""
LOOK = ("color", "ls", "marker", "alpha")


def look(line: Line2D, parts: Sequence[str] = LOOK) -> tuple[object, ...]:
    """What tells a line from others."""
    told = {"color": to_hex(line.get_color()), "ls": line.get_linestyle()}
    told |= {"marker": str(line.get_marker()), "alpha": line.get_alpha()}
    return tuple(told[name] for name in parts)


def legend(figure: Figure, parts: Sequence[str] = LOOK) -> dict[tuple[object, ...], str]:
    """How a line looks -> its label in the legend, of the figure or of its only panel."""
    found = figure.legends[0] if figure.legends else figure.axes[0].get_legend()
    assert found is not None
    lines = zip(found.legend_handles, found.get_texts(), strict=True)
    told = [
        (look(line, parts), text.get_text()) for line, text in lines if isinstance(line, Line2D)
    ]
    assert len(dict(told)) == len(told), "two entries of the legend look alike"
    return dict(told)


def rows(*columns: Iterable[float]) -> np.ndarray:
    """[points, 5] of the columns given: x, y, and errors."""
    given = [np.asarray(list(column), dtype=float) for column in columns]
    given += [np.full(len(given[0]), np.nan)] * (5 - len(given))
    return np.stack(given, axis=1)


def of_line(line: Line2D) -> np.ndarray:
    """[points, 5] without errors."""
    return rows(*np.asarray(line.get_xydata(), dtype=float).T)


def of_errorbar(container: ErrorbarContainer) -> np.ndarray:
    """[points, 5], the errors from the bars."""
    line, _, bars = container.lines
    found, bars = of_line(line), list(bars)
    if container.has_xerr:
        found[:, 2] = [
            high - x for (_, high), x in zip(ends(bars.pop(0), 0), found[:, 0], strict=True)
        ]
    if container.has_yerr:
        low, high = np.reshape(ends(bars.pop(0), 1), (-1, 2)).T
        found[:, 3], found[:, 4] = found[:, 1] - low, high - found[:, 1]
    return found


def ends(bars: LineCollection, axis: int) -> list[tuple[float, float]]:
    """Of each bar the lower and the upper end; NaN of one that is not drawn."""
    drawn = bars.get_segments()
    return [(s[0][axis], s[1][axis]) if len(s) == 2 else (np.nan, np.nan) for s in drawn]


def with_errors(panel: Axes, labels: Mapping[tuple[object, ...], str], *parts: str) -> Series:
    """What stands with error bars."""
    found: dict[str, list[np.ndarray]] = {}
    for container in panel.containers:
        if isinstance(container, ErrorbarContainer):
            label = labels[look(container.lines[0], parts or LOOK)]
            found.setdefault(label, []).append(of_errorbar(container))
    return {label: np.concatenate(parts) for label, parts in found.items()}


def plain(panel: Axes) -> list[Line2D]:
    """The lines without error bars that show data, so not those across the whole panel."""
    of_bars = [
        line
        for container in panel.containers
        if isinstance(container, ErrorbarContainer)
        for line in (container.lines[0], *container.lines[1])
    ]
    free = [line for line in panel.lines if line not in of_bars]
    return [
        line
        for line in free
        if line.get_transform().contains_branch(panel.transData)
        and line.get_transform() == panel.transData
        and len(line.get_xydata())
    ]


def without_errors(panel: Axes, labels: Mapping[tuple[object, ...], str], *parts: str) -> Series:
    """What plain lines show, those that the legend does not name aside."""
    found: dict[str, list[np.ndarray]] = {}
    for line in plain(panel):
        label = labels.get(look(line, parts or LOOK))
        if label is not None:
            found.setdefault(label, []).append(of_line(line))
    return {label: np.concatenate(parts) for label, parts in found.items()}


def same(drawn: Series, expected: Series) -> None:
    """Both have the same labels, and each the same points, in any order."""
    there = {label: points for label, points in drawn.items() if len(points)}
    asked = {label: points for label, points in expected.items() if len(points)}
    assert there.keys() == asked.keys()
    for label, points in asked.items():
        np.testing.assert_allclose(
            ordered(there[label]), ordered(points), rtol=1e-9, atol=1e-12, err_msg=label
        )


def ordered(points: np.ndarray) -> np.ndarray:
    """Sorted by x and then y."""
    return points[np.lexsort((points[:, 1], points[:, 0]))]


def title(panel: Axes) -> str:
    """The first line of the title, wherever it stands."""
    return (panel.get_title() or panel.get_title("left")).split("\n")[0]
