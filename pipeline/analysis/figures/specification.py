"""Specification curves: one effect under every setting, sorted, and the settings' factors below."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from pipeline.analysis.claims.paper_numbers import (
    DEAD_LOWER_BY,
    FEWER_DEAD_MLP,
    FEWER_DEAD_OTHER,
    MATCHED_WITHIN,
)
from pipeline.analysis.figures.panels import CROSS, grid
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.study.outputs import EFFECTS
from pipeline.study.settings import LEVEL

WIDE = 6.0
"""Inches: 1,200 pixels."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Of hookpoints, in turn; those of Okabe and Ito."""
MARKERS = "osD^vP*"
"""Of models, in turn."""
DASHED: dict[str, Any] = {"color": "#444444", "lw": 0.8, "ls": "--"}
"""The paper's numbers."""
MOST: dict[str, Any] = {"marker": "_", "color": "#999999", "markersize": 4, "ls": "none"}
"""The most that could be seen."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What a specification curve shows."""

    column: str
    """Of effects.csv."""
    label: str
    """Of the axis, which says what is up."""
    lines: dict[str, float]
    """The paper's numbers as readers see them -> where they are drawn, dashed."""
    factors_of_ten: bool = False
    """Whether the column is the log10 of what is shown."""
    ceiling: str = ""
    """Column of the most that could be seen; none where empty."""


def figure_spec_gap(shown: Shown) -> Drawn:
    """Smallest R2 gap under every setting.

    The smallest gap of R2, SA-GSAE minus Gated, over the L0 that both reach. Above the solid line
    SA-GSAE is ahead at every such L0; above the dashed one it is nowhere more than the paper's
    0.025 behind.
    """
    label = "Smallest R2 gap\n(SA-GSAE minus Gated)"
    return specification_curve(
        shown,
        Curve(column="min_gap", label=label, lines={f"-{MATCHED_WITHIN:g}": -MATCHED_WITHIN}),
    )


def figure_spec_dead(shown: Shown) -> Drawn:
    """Dead latents at equal L0 under every setting.

    Dead fraction of Gated minus that of SA-GSAE, at the first matched L0. Above the solid line
    SA-GSAE has fewer dead latents; above the dashed one its dead fraction is lower by the paper's
    0.35 or more. That cannot be where Gated has few.
    """
    label = "Dead fraction lower by\n(Gated minus SA-GSAE)"
    return specification_curve(
        shown,
        Curve(column="dead_drop", label=label, lines={f"{DEAD_LOWER_BY:g}": DEAD_LOWER_BY}),
    )


def figure_spec_reduction(shown: Shown) -> Drawn:
    """Reduction of the dead fraction under every setting.

    How many times smaller the dead fraction of SA-GSAE is, as a geometric mean over equal L0, each
    fraction floored at half a latent. Grey: the most that could be seen, with no latent of SA-GSAE
    dead. Where neither side has dead latents there is no number. Dashed: the paper's least factors,
    100x at mlp_out and 2x elsewhere.
    """
    curve = Curve(
        column="equal_l0_log10",
        label="Dead fraction smaller by\n(factor, geometric mean)",
        lines={f"{factor:g}x": np.log10(factor) for factor in (FEWER_DEAD_OTHER, FEWER_DEAD_MLP)},
        factors_of_ten=True,
        ceiling="equal_l0_ceiling",
    )
    return specification_curve(shown, curve)


def specification_curve(shown: Shown, curve: Curve) -> Drawn:
    """The curve above, a strip of the levels that each point has below."""
    points, absent = _sorted(shown.table(EFFECTS), curve)
    rows = strip_rows(points, shown)
    colours = dict(zip(shown.spec.hookpoints, cycle(COLOURS), strict=False))
    markers = dict(zip(shown.spec.models, cycle(MARKERS), strict=False))
    drawn = points.assign(
        colour=points["hookpoint"].map(colours), marker=points["model"].map(markers)
    )
    tall = 0.135 * sum(map(len, rows.values())) + 0.06 * len(rows)
    figure = Figure(figsize=(WIDE, 2.6 + tall), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2.1, max(tall, 0.2)])
    _curve(above, drawn, curve)
    _strip(below, drawn, rows)
    low, high = above.get_ylim()
    beyond = int((~points["value"].between(low, high)).sum())
    title = _counted(len(points), absent, beyond)
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium")  # wider than the axes
    legend = [
        *(_key(colour, "s", name) for name, colour in colours.items()),
        *(_key("#555555", marker, name) for name, marker in markers.items()),
    ]
    legend.append(Line2D([], [], **DASHED, label=f"the paper's {', '.join(curve.lines)}"))
    if "ceiling_log10" in points:
        legend.append(Line2D([], [], **MOST, label="the most that could be seen"))
    if (points["collapsed"] != "").any():
        legend.append(Line2D([], [], **CROSS | {"markersize": 5}, label="has collapsed cells"))
    figure.legend(handles=legend, loc="outside lower center", ncols=4, frameon=False)
    return figure, points


def _counted(points: int, absent: int, beyond: int) -> str:
    text = f"{points} {'comparison' if points == 1 else 'comparisons'}, sorted"
    text += f"; {beyond} beyond the frame" if beyond else ""
    has = "has" if absent == 1 else "have"
    return f"{text}; {absent} more {has} no number here" if absent else text


def _key(colour: str, marker: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, ls="none", label=label)


def _sorted(effects: pd.DataFrame, curve: Curve) -> tuple[pd.DataFrame, int]:
    """The points that have the effect, by its size, and how many have not."""
    known = effects[effects[curve.column].notna()]
    levels = [str(name) for name in effects if str(name).startswith(LEVEL)]
    names = ["comparison", "recipe", "widths", "model", "hookpoint", *levels]
    table = known[names].assign(
        measure=curve.column,
        value=known[curve.column],
        value_se=known[f"{curve.column}_se"],
        collapsed=known["collapsed"],
    )
    if curve.ceiling:
        table["ceiling_log10"] = np.log10(known[curve.ceiling])
    table = table.sort_values(["value", *names], kind="stable").reset_index(drop=True)
    table.insert(0, "rank", table.index + 1)
    return table, len(effects) - len(known)


def strip_rows(points: pd.DataFrame, shown: Shown) -> dict[str, list[str]]:
    """Heading -> its rows: the levels of each factor that points have, then models and hookpoints.

    What has one level has no row.
    """
    found = {factor.column: factor.ordered for factor in shown.spec.factors}
    found |= {"model": list(shown.spec.models), "hookpoint": list(shown.spec.hookpoints)}
    there = {
        column: [level for level in levels if (points[column] == level).any()]
        for column, levels in found.items()
    }
    return {column: levels for column, levels in there.items() if len(levels) > 1}


def _curve(panel: Axes, points: pd.DataFrame, curve: Curve) -> None:
    low, high = _frame(points, curve)
    edge = 0.02 * (high - low)
    for value in curve.lines.values():
        panel.axhline(value, **DASHED, zorder=1)
    panel.axhline(0, color="#444444", lw=0.9, zorder=1)
    if "ceiling_log10" in points:
        panel.plot(points["rank"], points["ceiling_log10"], **MOST, zorder=2)
    size, cross = (4.0, 7.0) if len(points) <= 60 else (3.0, 4.5)
    for row in points.to_dict("records"):
        inside = min(max(row["value"], low + edge), high - edge)
        outside = {"marker": "^" if row["value"] > high else "v"} if inside != row["value"] else {}
        look = {"marker": row["marker"], "color": row["colour"], "ls": "none"} | outside
        if not outside and not pd.isna(row["value_se"]):
            panel.errorbar(
                row["rank"],
                row["value"],
                yerr=row["value_se"],
                fmt="none",
                ecolor=row["colour"],
                elinewidth=0.8,
                zorder=2,
            )
        panel.plot(row["rank"], inside, markersize=size, **look, zorder=3)
        if row["collapsed"]:
            panel.plot(row["rank"], inside, **CROSS | {"markersize": cross}, zorder=4)
    panel.set_ylim(low, high)
    panel.set_ylabel(curve.label)
    if curve.factors_of_ten:
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:g}x"))
        panel.set_yticks(np.arange(np.floor(low), np.ceil(high) + 1))
        panel.set_ylim(low, high)
    grid(panel)
    panel.tick_params(axis="x", bottom=False, labelbottom=False)


def _frame(points: pd.DataFrame, curve: Curve) -> tuple[float, float]:
    """Limits that hold zero, the paper's numbers and all points without collapsed cells; of those
    that have some, the ones that are not far out. No point lies in their outer 2 %."""
    sound = points[points["collapsed"] == ""]
    inner = sound if len(sound) else points
    ends = [inner["value"].min(), inner["value"].max(), *curve.lines.values(), 0.0]
    if "ceiling_log10" in points:
        ends += [inner["ceiling_log10"].min(), inner["ceiling_log10"].max()]
    ends = [end for end in ends if not pd.isna(end)]
    low, high = min(ends), max(ends)
    room = high - low
    near = points["value"][points["value"].between(low - room, high + room)]
    low, high = min([low, *near]), max([high, *near])
    pad = 0.06 * (high - low) or 0.1
    return low - pad, high + pad


def _strip(panel: Axes, points: pd.DataFrame, rows: dict[str, list[str]]) -> None:
    """A row of marks per level, headings of factors between them."""
    labels, places, at = [], [], 0.0
    for column, levels in rows.items():
        for level in levels:
            has = points[points[column] == level]
            panel.scatter(has["rank"], [at] * len(has), s=14, c=has["colour"], marker="|", lw=1.2)
            labels.append(_row_label(column, level))
            places.append(at)
            at += 1
        panel.axhline(at - 0.5 + 0.22, color="#CCCCCC", lw=0.5)
        at += 0.45
    panel.set_yticks(places, labels)
    panel.set_ylim(max(at - 0.7, 0.5), -0.8)
    panel.set_xlim(0, len(points) + 1)
    panel.set_xticks([])
    for side in ("left", "bottom"):
        panel.spines[side].set_visible(False)
    panel.tick_params(axis="y", length=0)


def _row_label(column: str, level: str) -> str:
    return f"{column.removeprefix(LEVEL)} = {level}"
