"""Figures 4, 5 and 8 to 10: the synthetic protocols. Points are means over seeds."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pipeline.analysis.figures import panels
from pipeline.analysis.figures.canvas import DPI
from pipeline.analysis.figures.geometry import width_label
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.analysis.numbers import variant_label
from sagsae.autoencoders.registry import looks
from sagsae.synthetic import TAU

SEPARATE = "dotted, hollow: the two poles found by two latents"


def systems(table: pd.DataFrame) -> dict[tuple[str, float], dict[str, Any]]:
    """(variant, width in latents a pair) -> style, wider first within a variant.

    Colour and marker say which variant; a second width of Gated is dashed.
    """
    found = set(zip(table["variant"], table["multiple"], strict=True))
    return {
        (variant, multiple): {
            "color": colour,
            "marker": marker,
            "ls": "--" if variant == "gated" and multiple <= 1 else "-",
        }
        for variant, (colour, marker) in looks(table["variant"]).items()
        for multiple in sorted((m for name, m in found if name == variant), reverse=True)
    }


def label(variant: str, multiple: float) -> str:
    """With the width in latents for n pairs or axes."""
    return f"{variant_label(variant)}, {width_label(multiple)}"


def values(table: pd.DataFrame, metric: str, setting: str) -> pd.DataFrame:
    """Rows of a metric in the settings named ``setting=x``, with the number ``x``, in its order."""
    name, _, x = (table["setting"].str.partition("=")[i] for i in range(3))
    rows = table[(name == setting) & (table["metric"] == metric)]
    return rows.assign(x=x[rows.index].astype(float)).sort_values("x", kind="stable")


def of(rows: pd.DataFrame, system: tuple[str, float]) -> pd.DataFrame:
    return rows[(rows["variant"] == system[0]) & (rows["multiple"] == system[1])]


def line(panel: Axes, rows: pd.DataFrame, **style: Any) -> None:
    """Means against ``x`` with their standard errors."""
    panel.errorbar(rows["x"], rows["mean"], yerr=rows["se"], capsize=1.5, elinewidth=0.8, **style)


def dressed(panel: Axes, x: str, y: str, title: str = "") -> None:
    panel.set(xlabel=x, ylabel=y, title=title)
    panels.grid(panel)


def decimal_ticks(axis: Axis) -> None:
    """A log axis with numbers such as 0.002 and 5."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, table: pd.DataFrame, *notes: str, columns: int = 2) -> None:
    """All systems of the table, then notes without a line."""
    handles = [Line2D([], [], label=label(*s), **style) for s, style in systems(table).items()]
    handles += [Line2D([], [], ls="none", label=note) for note in notes]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def sized(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def figure_4(study: Shown) -> Drawn:
    """Protocol A, the Polarity Dial.

    Signed axes whose negative side is larger by α. Left: reconstruction error over the sweep;
    right: calibration slopes of the latents that serve each sign, 1 being none too small.
    """
    table = study.protocol("polarity_dial")
    alphas = sorted(set(values(table, "mse", "alpha")["x"]))
    figure = sized(5.2, 1.75 * len(alphas) + 0.8)
    axes = figure.subplots(len(alphas), 2, squeeze=False, sharex="all", sharey="col")
    keys = ["setting", "variant", "multiple", "lam"]
    l0 = table[table["metric"] == "l0"].set_index(keys)
    shown = []
    for metric in ("mse", "slope_pos", "slope_neg"):
        rows = values(table, metric, "alpha").rename(columns={"x": "alpha"})
        at = l0.loc[pd.MultiIndex.from_frame(rows[keys])]
        shown.append(rows.assign(x=at["mean"].to_numpy(), x_se=at["se"].to_numpy()))
    drawn = pd.concat(shown, ignore_index=True)
    for i, alpha in enumerate(alphas):
        left, right = axes[i]
        here = drawn[(drawn["alpha"] == alpha) & (drawn["x"] > 0)].sort_values("x")
        for system, style in systems(table).items():
            rows = of(here, system)
            line(left, rows[rows["metric"] == "mse"], **style)
            for sign, marker in (("pos", "^"), ("neg", "v")):
                face = style["color"] if sign == "pos" else "white"
                part = rows[rows["metric"] == f"slope_{sign}"]
                line(right, part, **style | {"marker": marker, "markerfacecolor": face})
        right.axhline(1, color="black", lw=0.6, zorder=1)
        dressed(left, "", "MSE a coordinate", f"negative side × {alpha:g}")
        dressed(right, "", "calibration slope")
        left.set(yscale="log", xscale="log")
        for axis in (left.xaxis, left.yaxis):
            decimal_ticks(axis)
    low, high = axes[0, 1].get_ylim()
    axes[0, 1].set_ylim(min(low, 0.9), max(high, 1.1))  # 0.01 is not to look large
    for panel in axes[-1]:
        panel.set_xlabel("L0 (active latents per sample)")
    legend(figure, table, "right: ▲ positive side, ▽ negative side")
    return figure, drawn


def figure_5(study: Shown) -> Drawn:
    """Protocol B, anomalies.

    How well the code of one latent tells a large excursion of one axis in one direction from
    everything else, under budgets of H latents for K axes. 0.5 is chance.
    """
    table = study.protocol("anomalies")
    names = {"pos": "positive", "neg": "negative", "mean": "mean", "worse": "worse"}
    picked = table[table["picked"]]
    rows = {name: values(picked, f"auroc_{name}", "budget") for name in names}
    budgets = sorted(set(rows["pos"]["x"]))
    variants = looks(table["variant"])
    figure = sized(1.75 * len(budgets) + 0.5, 2.7)
    axes = figure.subplots(1, len(budgets), squeeze=False, sharey="all")[0]
    for panel, budget in zip(axes, budgets, strict=True):
        for i, (variant, (colour, marker)) in enumerate(variants.items()):
            style = {"color": colour, "marker": marker, "ls": "none"}
            for place, name in enumerate(names):
                found = rows[name][(rows[name]["x"] == budget) & (rows[name]["variant"] == variant)]
                line(panel, found.assign(x=place + 0.22 * (i - (len(variants) - 1) / 2)), **style)
        panel.set_xticks(range(len(names)), names.values(), rotation=35)
        panel.axhline(0.5, color="black", lw=0.6, ls=":", zorder=1)
        dressed(panel, "", "", width_label(budget))
    axes[0].set_ylabel("AUROC")
    handles = [
        Line2D([], [], label=variant_label(variant), color=colour, marker=marker, ls="")
        for variant, (colour, marker) in variants.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure, pd.concat(rows.values(), ignore_index=True)


def figure_8(study: Shown) -> Drawn:
    """Protocol C against superposition.

    Reconstruction, and the share of poles that some latent serves, against pairs per dimension.
    """
    table = study.protocol("consolidation")
    picked = table[table["picked"]]
    figure = sized(5.2, 2.9)
    shown = {"r2": "R2", "poles_found": f"poles found (|cos| ≥ {TAU:g})"}
    rows = {metric: values(picked, metric, "superposition") for metric in shown}
    for panel, (metric, words) in zip(figure.subplots(1, 2), shown.items(), strict=True):
        for system, style in systems(table).items():
            line(panel, of(rows[metric], system), **style)
        over_superposition(panel, words)
    legend(figure, table)
    return figure, pd.concat(rows.values(), ignore_index=True)


def over_superposition(panel: Axes, words: str) -> None:
    dressed(panel, "superposition n / d", words)
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def rates(panel: Axes, consolidated: pd.DataFrame, separate: pd.DataFrame) -> None:
    """Consolidation of every system; of the wider Gated also the pairs found by two latents."""
    for system, style in systems(consolidated).items():
        line(panel, of(consolidated, system), **style)
        if system == ("gated", 2):
            line(panel, of(separate, system), **style | {"ls": ":", "markerfacecolor": "white"})
    panel.set_ylim(-0.04, 1.04)


def figure_9(study: Shown) -> Drawn:
    """Pair Consolidation Rate.

    Share of pairs whose two poles are served by the two signs of one latent, against superposition
    and against the cosine that is asked for.
    """
    table = study.protocol("consolidation")
    picked = table[table["picked"]]
    figure = sized(5.2, 3.0)
    left, right = figure.subplots(1, 2, sharey="all")
    shown = [values(picked, metric, "superposition") for metric in ("pcr", "separate")]
    rates(left, *shown)
    over_superposition(left, f"share of pairs (|cos| ≥ {TAU:g})")
    levels = sorted(set(shown[0]["x"]))
    level = levels[len(levels) // 2]
    curves = []
    for name in ("pcr", "separate"):
        here = picked[picked["metric"].str.fullmatch(rf"{name}_[0-9.]+")]
        here = here[here["setting"] == f"superposition={level:g}"]
        at = here["metric"].str.removeprefix(f"{name}_").astype(float)
        curves.append(here.assign(x=at).sort_values("x", kind="stable"))
    rates(right, *curves)
    dressed(right, "threshold on |cos|", "", f"n / d = {level:g}")
    legend(figure, table, SEPARATE)
    return figure, pd.concat([*shown, *curves], ignore_index=True)


def figure_10(study: Shown) -> Drawn:
    """Robustness of consolidation.

    The same where both poles may be active together, and where they are not antipodal.
    """
    table = study.protocol("robustness")
    picked = table[table["picked"]]
    figure = sized(5.2, 2.9)
    words = {
        "rho": "within-pair correlation ρ of activity",
        "cosine": "cosine between the two poles",
    }
    shown = []
    for panel, (name, text) in zip(figure.subplots(1, 2, sharey="all"), words.items(), strict=True):
        both = [values(picked, metric, name) for metric in ("pcr", "separate")]
        rates(panel, *both)
        dressed(panel, text, "")
        shown += both
        panel.set_ylabel(f"share of pairs (|cos| ≥ {TAU:g})" if name == "rho" else "")
    legend(figure, table, SEPARATE)
    return figure, pd.concat(shown, ignore_index=True)
