"""Figures 8 to 10: consolidation, the synthetic protocol C. Points are means over seeds."""

from __future__ import annotations

import pandas as pd

from pipeline.analysis.figure import figure, no_language_model
from pipeline.analysis.figures import mpl
from pipeline.analysis.figures.protocols import dressed, legend, line, systems, values
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.analysis.tables.synthetic import BY_PROTOCOL
from sagsae.synthetic import TAU

SEPARATE = "dotted, hollow: the two poles found by two latents"
SHARE = f"share of pairs (|cos| ≥ {TAU:g})"


def over_superposition(panel: mpl.axes.Axes, words: str) -> None:
    dressed(panel, "superposition n / d", words)
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


@figure([BY_PROTOCOL["consolidation"]], when=no_language_model, all_recipes=True)
def figure_8(study: Shown) -> Drawn:
    """Protocol C against superposition.

    The lines show R2 and the share of poles that some latent serves, against pairs per dimension.
    The higher line is better.
    """
    table = study.protocol("consolidation", picked=True)
    drawing = mpl.figure.Figure(figsize=(5.2, 2.9), layout="constrained")
    shown = {"r2": "R2", "poles_found": f"poles found (|cos| ≥ {TAU:g})"}
    drawn = []
    for panel, (metric, words) in zip(drawing.subplots(1, 2), shown.items(), strict=True):
        drawn.append(values(table, metric, "superposition"))
        for system, style in systems(table).items():
            line(panel, drawn[-1], system, **style)
        over_superposition(panel, words)
    legend(drawing, table)
    return drawing, pd.concat(drawn, ignore_index=True)


def rates(panel: mpl.axes.Axes, consolidated: pd.DataFrame, separate: pd.DataFrame) -> None:
    """Consolidation of every system; of the wider Gated also the pairs found by two latents."""
    for system, style in systems(consolidated).items():
        line(panel, consolidated, system, **style)
        if system == ("gated", 2):
            line(panel, separate, system, **style | {"ls": ":", "markerfacecolor": "white"})
    panel.set_ylim(-0.04, 1.04)


@figure([BY_PROTOCOL["consolidation"]], when=no_language_model, all_recipes=True)
def figure_9(study: Shown) -> Drawn:
    """Pair Consolidation Rate.

    A line shows the share of pairs whose two poles are served by the two signs of one latent. The
    left panel varies superposition, the right one the cosine that is asked for.
    """
    table = study.protocol("consolidation", picked=True)
    drawing = mpl.figure.Figure(figsize=(5.2, 3.0), layout="constrained")
    left, right = drawing.subplots(1, 2, sharey="all")
    shown = [values(table, metric, "superposition") for metric in ("pcr", "separate")]
    rates(left, *shown)
    over_superposition(left, SHARE)
    levels = sorted(set(shown[0]["x"]))
    level = levels[len(levels) // 2]
    here = table[table["setting"] == f"superposition={level:g}"]
    curves = []
    for name in ("pcr", "separate"):
        at = pd.to_numeric(here["metric"].str.removeprefix(f"{name}_"), errors="coerce")
        curves.append(here.assign(x=at)[at.notna()].sort_values("x", kind="stable"))
    rates(right, *curves)
    dressed(right, "threshold on |cos|", "", f"n / d = {level:g}")
    legend(drawing, table, SEPARATE)
    return drawing, pd.concat([*shown, *curves], ignore_index=True)


@figure([BY_PROTOCOL["robustness"]], when=no_language_model, all_recipes=True)
def figure_10(study: Shown) -> Drawn:
    """Robustness of consolidation.

    A line shows the share of pairs whose two poles are served by the two signs of one latent. The
    left panel varies how often both poles are active, the right one the cosine between them.
    """
    table = study.protocol("robustness", picked=True)
    drawing = mpl.figure.Figure(figsize=(5.2, 2.9), layout="constrained")
    axes = drawing.subplots(1, 2, sharey="all")
    words = {
        "rho": "within-pair correlation ρ of activity",
        "cosine": "cosine between the two poles",
    }
    shown = []
    for panel, (name, text) in zip(axes, words.items(), strict=True):
        shown += [values(table, metric, name) for metric in ("pcr", "separate")]
        rates(panel, *shown[-2:])
        dressed(panel, text, "")
    axes[0].set_ylabel(SHARE)
    legend(drawing, table, SEPARATE)
    return drawing, pd.concat(shown, ignore_index=True)
