"""Specification curves: one effect under every setting, sorted, and the settings' factors below."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd

from pipeline.analysis.figure import figure, once
from pipeline.analysis.figures import mpl, plot
from pipeline.analysis.figures.shown import Drawn, Look, Shown
from pipeline.analysis.tables.effects import SETTINGS
from pipeline.study.settings import LEVEL

# Numbers of the paper that claims are judged by as well, each written once: R² that SA-GSAE may
# fall short of Gated and still match it; least absolute fall of the dead fraction where it does not
# dominate; least reduction of the dead fraction, a geometric mean, at MLP outputs and elsewhere.
MATCHED_WITHIN, DEAD_LOWER_BY, FEWER_DEAD_MLP, FEWER_DEAD_OTHER = 0.025, 0.35, 100, 2
# Of hookpoints, in turn; those of Okabe and Ito.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Of models, in turn.
MARKERS = "osD^vP*"
# The paper's numbers.
DASHED: Look = {"color": "#444444", "lw": 0.8, "ls": "--"}
# The most that could be seen.
MOST: Look = {"marker": "_", "color": "#999999", "markersize": 4, "ls": "none"}
# The effect that is shown as a factor, which has a ceiling.
LOG10 = "equal_l0_log10"
WITH_EFFECTS = once(SETTINGS.is_of)


@figure(
    [SETTINGS],
    when=WITH_EFFECTS,
    all_recipes=True,
    title="Smallest R² gap under every setting",
    caption="A point shows the smallest R² gap of one comparison, and the marks below it show "
    "its setting. Above the solid line SA-GSAE strictly dominates; above the dashed "
    "line it is at most the paper's 0.025 behind.",
)
def figure_spec_gap(shown: Shown) -> Drawn:
    label = "Smallest R² gap\n(SA-GSAE minus Gated)"
    return specification_curve(shown, "min_gap", label, -MATCHED_WITHIN)


@figure(
    [SETTINGS],
    when=WITH_EFFECTS,
    all_recipes=True,
    title="Dead latents at equal L0 under every setting",
    caption="A point shows by how much the dead fraction of SA-GSAE is lower, and the marks "
    "below it show its setting. Above the solid line SA-GSAE has fewer dead latents; "
    "above the dashed line it reaches the paper's 0.35.",
)
def figure_spec_dead(shown: Shown) -> Drawn:
    label = "Dead fraction lower by\n(Gated minus SA-GSAE)"
    return specification_curve(shown, "dead_drop", label, DEAD_LOWER_BY)


@figure(
    [SETTINGS],
    when=WITH_EFFECTS,
    all_recipes=True,
    title="Reduction of the dead fraction under every setting",
    caption="A point shows how many times smaller the dead fraction of SA-GSAE is, and the "
    "marks below it show its setting. The dashed lines are the paper's factors: 100x at "
    "mlp_out and 2x elsewhere.",
)
def figure_spec_reduction(shown: Shown) -> Drawn:
    label = "Dead fraction smaller by\n(factor, geometric mean)"
    paper = np.log10([FEWER_DEAD_OTHER, FEWER_DEAD_MLP])
    return specification_curve(shown, LOG10, label, *paper)


def specification_curve(shown: Shown, effect: str, label: str, *paper: float) -> Drawn:
    """The curve above, a strip of the levels that each point has below.

    Args:
        shown: The study.
        effect: Column of effects.csv.
        label: Of the axis, which says what is up.
        paper: The paper's numbers, dashed.
    """
    effects = shown.table(SETTINGS)
    points = _sorted(effects, effect)
    levels = strip_rows(points, shown)
    colours = dict(zip(shown.spec.hookpoints, cycle(COLOURS), strict=False))
    markers = dict(zip(shown.spec.models, cycle(MARKERS), strict=False))
    looks = {"color": points["hookpoint"].map(colours), "marker": points["model"].map(markers)}
    tall = 0.135 * sum(map(len, levels.values())) + 0.06 * len(levels)
    ratios = [2.1, max(tall, 0.2)]
    drawing, axes = plot.canvas((6, 2.6 + tall), rows=2, sharex=True, height_ratios=ratios)
    _curve(axes[0, 0], points.assign(**looks), paper)
    axes[0, 0].set_ylabel(label)
    _strip(axes[1, 0], points.assign(**looks), levels)
    beyond = int((~points["value"].between(*axes[0, 0].get_ylim())).sum())
    title = f"{len(points)} comparisons, sorted"
    title += f"; {beyond} beyond the frame" if beyond else ""
    absent = len(effects) - len(points)
    title += f"; {absent} more have no number here" if absent else ""
    drawing.suptitle(title, x=0.01, ha="left", fontsize="medium")  # wider than the axes
    keys: dict[str, Look] = {name: {"color": c, "marker": "s"} for name, c in colours.items()}
    keys |= {name: {"color": "#555555", "marker": marker} for name, marker in markers.items()}
    keys = {name: look | {"ls": "none"} for name, look in keys.items()}
    shown_as = factor if effect == LOG10 else "{:g}".format
    keys[f"the paper's {', '.join(map(shown_as, paper))}"] = DASHED
    if effect == LOG10:
        keys["the most that could be seen"] = MOST
    if (points["collapsed"] != "").any():
        keys["has collapsed cells"] = plot.CROSS | {"markersize": 5}
    plot.legend_below(drawing, plot.legend_of(keys), 4)
    return drawing, points


def factor(log10: float) -> str:
    """What has this logarithm, as readers see it."""
    return f"{10**log10:g}x"


def _sorted(effects: pd.DataFrame, effect: str) -> pd.DataFrame:
    """The points that have the effect, by its size."""
    known = effects[effects[effect].notna()]
    levels = [name for name in map(str, effects) if name.startswith(LEVEL)]
    names = ["comparison", "recipe", "widths", "model", "hookpoint", *levels]
    table = known[names].assign(
        measure=effect,
        value=known[effect],
        value_se=known[f"{effect}_se"],
        collapsed=known["collapsed"],
    )
    if effect == LOG10:
        table["ceiling_log10"] = np.log10(known["equal_l0_ceiling"])
    table = table.sort_values(["value", *names], kind="stable", ignore_index=True)
    table.insert(0, "rank", table.index + 1)
    return table


def strip_rows(points: pd.DataFrame, shown: Shown) -> dict[str, list[str]]:
    """Column -> its levels that points have: of each factor, then models and hookpoints.

    What has one level has no row.
    """
    known = {factor.column: factor.ordered for factor in shown.spec.factors}
    known |= {"model": list(shown.spec.models), "hookpoint": shown.spec.hookpoints}
    there = {
        column: [level for level in levels if (points[column] == level).any()]
        for column, levels in known.items()
    }
    return {column: levels for column, levels in there.items() if len(levels) > 1}


def _curve(panel: mpl.axes.Axes, points: pd.DataFrame, paper: Sequence[float]) -> None:
    """Draw the points, each within limits that hold zero, the paper's numbers and all points
    without collapsed cells. No point lies in the outer 2 % of these."""
    sound = points[points["collapsed"] == ""]
    ends = [0.0, *paper, *sound.filter(["value", "ceiling_log10"]).stack().dropna()]
    pad = 0.06 * (max(ends) - min(ends)) or 0.1
    low, high = min(ends) - pad, max(ends) + pad
    for value in paper:
        panel.axhline(value, **DASHED, zorder=1)
    panel.axhline(0, color="#444444", lw=0.9, zorder=1)
    if "ceiling_log10" in points:
        panel.plot(points["rank"], points["ceiling_log10"], **MOST, zorder=2)
    edge = 0.02 * (high - low)
    shown = points.assign(inside=points["value"].clip(low + edge, high - edge))
    size, cross = (4.0, 7.0) if len(points) <= 60 else (3.0, 4.5)
    for (marker, colour), rows in shown.groupby(["marker", "color"]):
        error = rows["value_se"].where(rows["inside"] == rows["value"])
        look: Look = {"marker": marker, "color": colour, "ls": "none", "markersize": size}
        panel.errorbar(rows["rank"], rows["inside"], error, elinewidth=0.8, **look)
    fallen = shown[shown["collapsed"] != ""]
    panel.plot(fallen["rank"], fallen["inside"], **plot.CROSS | {"markersize": cross}, zorder=4)
    if "ceiling_log10" in points:
        panel.yaxis.set_major_formatter(lambda value, _: factor(value))
        panel.set_yticks(np.arange(np.floor(low), np.ceil(high) + 1))
    panel.set_ylim(low, high)
    plot.grid(panel)
    panel.tick_params(axis="x", bottom=False, labelbottom=False)


def _strip(panel: mpl.axes.Axes, points: pd.DataFrame, levels: dict[str, list[str]]) -> None:
    """A row of marks per level, lines between factors."""
    places, at = {}, 0.0
    for column, names in levels.items():
        for level in names:
            has = points[points[column] == level]
            panel.scatter(has["rank"], [at] * len(has), s=14, c=has["color"], marker="|", lw=1.2)
            places[f"{column.removeprefix(LEVEL)} = {level}"] = at
            at += 1
        panel.axhline(at - 0.28, color="#CCCCCC", lw=0.5)
        at += 0.45
    panel.set_yticks([*places.values()], [*places])
    panel.set_ylim(max(at - 0.7, 0.5), -0.8)
    panel.set_xlim(0, len(points) + 1)
    panel.set_xticks([])
    panel.spines[["left", "bottom"]].set_visible(False)
    panel.tick_params(axis="y", length=0)
