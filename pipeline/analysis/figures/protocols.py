"""Figures 4 and 5: the synthetic protocols A and B. Points are means over seeds."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipeline.analysis.figure import figure, no_language_model
from pipeline.analysis.figures import mpl, panels
from pipeline.analysis.figures.geometry import width_label
from pipeline.analysis.figures.shown import Drawn, Look, Shown, legend_of
from pipeline.analysis.numbers import variant_label
from pipeline.analysis.tables.synthetic import BY_PROTOCOL
from sagsae.autoencoders.registry import looks


def systems(table: pd.DataFrame) -> dict[tuple[str, float], Look]:
    """(variant, width in latents a pair) -> style, wider first within a variant.

    Colour and marker say which variant; a second width of Gated is dashed.
    """
    found = table[["variant", "multiple"]].drop_duplicates()
    found = found.sort_values("multiple", ascending=False)
    return {
        (variant, multiple): {
            "color": colour,
            "marker": marker,
            "ls": "--" if variant == "gated" and multiple <= 1 else "-",
        }
        for variant, (colour, marker) in looks(table["variant"]).items()
        for multiple in found.loc[found["variant"] == variant, "multiple"]
    }


def values(table: pd.DataFrame, metric: str, setting: str) -> pd.DataFrame:
    """Rows of a metric in the settings named ``setting=x``, with the number ``x``, in its order."""
    own = table["setting"].str.startswith(f"{setting}=")
    rows = table[own & (table["metric"] == metric)]
    x = rows["setting"].str.partition("=")[2].astype(float)
    return rows.assign(x=x).sort_values("x", kind="stable")


def line(panel: mpl.axes.Axes, rows: pd.DataFrame, system: tuple[str, float], **style: Any) -> None:
    """Means of a system against ``x`` with their standard errors."""
    own = rows[(rows["variant"] == system[0]) & (rows["multiple"] == system[1])]
    panel.errorbar(own["x"], own["mean"], yerr=own["se"], capsize=1.5, elinewidth=0.8, **style)


def dressed(panel: mpl.axes.Axes, x: str, y: str, title: str = "") -> None:
    panel.set(xlabel=x, ylabel=y, title=title)
    panels.grid(panel)


def legend(drawing: mpl.figure.Figure, table: pd.DataFrame, *notes: str) -> None:
    """All systems of the table, then notes without a line."""
    keys = {
        f"{variant_label(variant)}, {width_label(multiple)}": style
        for (variant, multiple), style in systems(table).items()
    }
    keys |= {note: {"ls": "none"} for note in notes}
    drawing.legend(handles=legend_of(keys), loc="outside lower center", ncols=2, frameon=False)


@figure([BY_PROTOCOL["polarity_dial"]], when=no_language_model, all_recipes=True)
def figure_4(study: Shown) -> Drawn:
    """Protocol A, the Polarity Dial.

    The left panels show the reconstruction error, the right ones the calibration slope of each
    sign; each row has one size of the negative side. At a slope of 1 the code does not shrink.
    """
    table = study.protocol("polarity_dial")
    keys = ["setting", "variant", "multiple", "lam"]
    l0 = table.loc[table["metric"] == "l0", [*keys, "mean", "se"]]
    l0 = l0.rename(columns={"mean": "x", "se": "x_se"})
    parts = [values(table, metric, "alpha") for metric in ("mse", "slope_pos", "slope_neg")]
    drawn = pd.concat(parts).rename(columns={"x": "alpha"}).merge(l0, on=keys)
    alphas = sorted(drawn["alpha"].unique())
    drawing = mpl.figure.Figure(figsize=(5.2, 1.75 * len(alphas) + 0.8), layout="constrained")
    axes = drawing.subplots(len(alphas), 2, squeeze=False, sharex="all", sharey="col")
    for alpha, (left, right) in zip(alphas, axes, strict=True):
        here = drawn[(drawn["alpha"] == alpha) & (drawn["x"] > 0)].sort_values("x")
        by_metric = dict(iter(here.groupby("metric")))
        for system, style in systems(table).items():
            line(left, by_metric["mse"], system, **style)
            down = style | {"marker": "v", "markerfacecolor": "white"}
            line(right, by_metric["slope_pos"], system, **style | {"marker": "^"})
            line(right, by_metric["slope_neg"], system, **down)
        right.axhline(1, color="black", lw=0.6, zorder=1)
        dressed(left, "", "MSE a coordinate", f"negative side × {alpha:g}")
        dressed(right, "", "calibration slope")
        left.set(yscale="log", xscale="log")
        for axis in (left.xaxis, left.yaxis):
            panels.decimal_ticks(axis)
    low, high = axes[0, 1].get_ylim()
    axes[0, 1].set_ylim(min(low, 0.9), max(high, 1.1))  # 0.01 is not to look large
    for panel in axes[-1]:
        panel.set_xlabel("L0 (active latents per sample)")
    legend(drawing, table, "right: ▲ positive side, ▽ negative side")
    return drawing, drawn


@figure([BY_PROTOCOL["anomalies"]], when=no_language_model, all_recipes=True)
def figure_5(study: Shown) -> Drawn:
    """Protocol B, anomalies.

    A point shows how well the code of one latent tells a large excursion of one axis from
    everything else. The higher point is better; 0.5 is chance.
    """
    table = study.protocol("anomalies", picked=True)
    names = {"pos": "positive", "neg": "negative", "mean": "mean", "worse": "worse"}
    rows = {name: values(table, f"auroc_{name}", "budget") for name in names}
    budgets = sorted(set(rows["pos"]["x"]))
    variants: dict[str, Look] = {
        variant: {"color": colour, "marker": marker, "ls": "none"}
        for variant, (colour, marker) in looks(table["variant"]).items()
    }
    drawing = mpl.figure.Figure(figsize=(1.75 * len(budgets) + 0.5, 2.7), layout="constrained")
    axes = drawing.subplots(1, len(budgets), squeeze=False, sharey="all")[0]
    for panel, budget in zip(axes, budgets, strict=True):
        for i, (variant, look) in enumerate(variants.items()):
            for place, found in enumerate(rows.values()):
                own = found[(found["x"] == budget) & (found["variant"] == variant)]
                x = [place + 0.22 * (i - (len(variants) - 1) / 2)] * len(own)
                panel.errorbar(x, own["mean"], own["se"], capsize=1.5, elinewidth=0.8, **look)
        panel.set_xticks(range(len(names)), names.values(), rotation=35)
        panel.axhline(0.5, color="black", lw=0.6, ls=":", zorder=1)
        dressed(panel, "", "", width_label(budget))
    axes[0].set_ylabel("AUROC")
    handles = legend_of({variant_label(variant): look for variant, look in variants.items()})
    drawing.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return drawing, pd.concat(rows.values(), ignore_index=True)
