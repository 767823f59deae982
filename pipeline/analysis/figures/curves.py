"""Training curves: a row of panels per model and hookpoint, a line per side of the comparison."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pipeline.analysis.figures.panels import Series, at, grid
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.analysis.knob_columns import without_idle_k
from pipeline.study.cell import KNOBS, Cell, SweepKey, knob_of
from pipeline.study.looks import nearest_lambda
from pipeline.study.outputs import POINTS
from sagsae.autoencoders.registry import K

QUANTITIES = {
    "reconstruction": ("Reconstruction error", "log"),
    "l0": ("L0", "log"),
    "dead_fraction": ("Dead fraction", "linear"),
}
"""Column of a curve -> its name, and the scale of its axis. One panel each."""
MOST = 200
"""Rows of a curve that are drawn; evenly chosen, the first and the last among them."""
ROW, COLUMN = 1.45, 2.25
"""Inches of a panel."""
K_AT_STEP = "k_at_step"
KEYS = ["recipe", "model", "hookpoint", "series", "variant", "width", *KNOBS, "seed"]


def figure_curves(shown: Shown) -> Drawn:
    """Training curves.

    The two sides of the main comparison while they train, each at the λ whose final L0 is nearest
    the first matched L0, its lowest seed. Every 50th batch is shown. Left: reconstruction error of
    the batch, in units of the mean square activation. Middle: active latents per token. Right:
    share of latents that fired in none of the last 50 batches. Curves that still fall at the end
    say that a longer training would change the result.
    """
    places = [
        (model, hookpoint)
        for model in shown.spec.models
        for hookpoint in shown.spec.hookpoints
        if (model, hookpoint) in shown.spec.trained[shown.recipe]
    ]
    curves = list(_curves(shown))
    table = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=KEYS)
    known = set(table["series"])
    series = {label: style for label, style in shown.series.items() if label in known}
    figure = Figure(
        figsize=(COLUMN * len(QUANTITIES), ROW * len(places) + 0.19 * len(series) + 0.35),
        layout="constrained",
    )
    panels = figure.subplots(len(places), len(QUANTITIES), squeeze=False, sharex="row")
    for place, row in zip(places, panels, strict=True):
        _row(row, at(table, *place), series, place)
    for panel in panels[-1]:
        panel.set_xlabel("Tokens (millions)")
    handles = [
        Line2D([], [], color=style.colour, ls=style.line, label=label)
        for label, style in series.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", frameon=False)
    return figure, without_idle_k(table)


def _curves(shown: Shown) -> Iterator[pd.DataFrame]:
    """Of each sweep that is shown, the curve at the lambda or k whose L0 is nearest.

    Those whose cell has no curve are out of the question.
    """
    curves = dict(iter(shown.measures.curves().groupby("cell", sort=False)))
    points, level = shown.rows(POINTS), shown.spec.matched_levels[0]
    lowest: dict[tuple[SweepKey, float], Cell] = {}
    for cell in sorted(shown.spec.grid, key=lambda cell: cell.seed):
        lowest.setdefault((cell.sweep, cell.knob), cell)
    for _, rows in points.groupby([*SweepKey._fields, "series"], sort=False):
        names = rows.iloc[0]
        sweep = SweepKey(*names[list(SweepKey._fields)])
        knobs = rows["lam"].fillna(rows["k"]) if "k" in rows else rows["lam"]
        of = {knob: lowest[sweep, knob] for knob in knobs}
        l0 = dict(zip(knobs, rows["l0"], strict=True))
        knob = nearest_lambda({knob: l0[knob] for knob in l0 if of[knob].path in curves}, level)
        if knob is not None:
            curve = curves[of[knob].path].drop(columns="cell").dropna(axis=1, how="all")
            yield _named(_thinned(curve), of[knob], names["series"])


def _thinned(curve: pd.DataFrame) -> pd.DataFrame:
    rows = np.linspace(0, len(curve) - 1, min(len(curve), MOST)).round().astype(int)
    return curve.iloc[rows]


def _named(curve: pd.DataFrame, cell: Cell, label: str) -> pd.DataFrame:
    names = {name: label if name == "series" else getattr(cell, name) for name in KEYS}
    curve = curve.rename(columns={K: K_AT_STEP})  # it falls during a warm-up; the cell has its last
    return curve.assign(**names)[[*KEYS, *curve]]


def _row(
    panels: list[Axes], here: pd.DataFrame, series: dict[str, Series], place: tuple[str, str]
) -> None:
    """The panels of one model and hookpoint."""
    knobs = {}
    for label, style in series.items():
        curve = here[here["series"] == label]
        if len(curve):
            knobs[style.name] = knob_of(curve.iloc[0].to_dict())
        for panel, quantity in zip(panels, QUANTITIES, strict=True):
            if quantity in curve:
                panel.plot(
                    curve["tokens"] / 1e6,
                    curve[quantity],
                    color=style.colour,
                    ls=style.line,
                    lw=1.2 * style.weight,
                )
    for panel, (label, scale) in zip(panels, QUANTITIES.values(), strict=True):
        panel.set_ylabel(label)
        grid(panel)
        if scale == "log" and np.isfinite(panel.dataLim.minposy):  # something positive is shown
            panel.set_yscale("log")
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            panel.yaxis.set_minor_formatter(NullFormatter())
        elif scale == "linear":
            most = max(0.1, panel.dataLim.y1)  # which is minus infinity without a line
            panel.set_ylim(-0.04 * most, 1.04 * most)
    panels[0].set_title(f"{', '.join(place)}, {_note(knobs)}", loc="left")


def _note(knobs: dict[str, str]) -> str:
    """The lambda or k of each side, or the one that all have."""
    if len(found := set(knobs.values())) < 2:
        return found.pop() if found else "no curve is there"
    return ", ".join(f"{knob} ({name})" for name, knob in knobs.items())
