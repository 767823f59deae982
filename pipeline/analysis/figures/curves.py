"""Training curves: a row of panels per model and hookpoint, a line per side of the comparison."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.figure import FEW_RECIPES, Cut, figure
from pipeline.analysis.figures import mpl, plot
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.analysis.numbers import variant_label
from pipeline.analysis.table import without_idle_k
from pipeline.analysis.tables.cells import POINTS
from pipeline.analysis.tables.sweeps import SWEEP
from pipeline.study.cell import KNOBS, SweepKey, knob_of
from pipeline.study.looks import nearest_lambda
from pipeline.study.outputs import CURVES
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import K

# Column of a curve -> its name, and the scale of its axis. One panel each.
QUANTITIES = {
    "reconstruction": ("Reconstruction error", "log"),
    "l0": ("L0", "log"),
    "dead_fraction": ("Dead fraction", "linear"),
}
# Rows of a curve that are drawn; evenly chosen, the first and the last among them.
MOST = 200
KEYS = ["recipe", "model", "hookpoint", "series", "variant", "width", *KNOBS, "seed"]


def _when(scope: Scope) -> Iterable[Cut]:
    """Under each recipe with curves; of many recipes under the first of these."""
    with_curves = {cell.recipe for cell in scope.drawn}
    cuts = [Cut(recipe) for recipe in scope.trained if recipe in with_curves]
    return cuts[:1] if len(scope.trained) > FEW_RECIPES else cuts


@figure(
    [POINTS],
    when=_when,
    measures=(CURVES,),
    title="Training curves",
    caption="A line shows one variant of the main comparison while it trains. Where it still falls "
    "at the end, a longer training would change the result.",
)
def figure_curves(shown: Shown) -> Drawn:
    places = shown.spec.trained[shown.recipe]
    table = pd.concat([*_curves(shown)] or [pd.DataFrame(columns=KEYS)], ignore_index=True)
    series = {label: look | {"marker": ""} for label, look in shown.lines(table).items()}
    tall = 1.45 * len(places) + 0.19 * len(series) + 0.35
    drawing, axes = plot.canvas((6.75, tall), len(places), len(QUANTITIES), sharex="row")
    for (model, hookpoint), panels in zip(places, axes, strict=True):
        here = table[(table["model"] == model) & (table["hookpoint"] == hookpoint)]
        knobs = {}
        for label, curve in here.groupby("series", sort=False):
            first = curve.iloc[0]
            knobs[variant_label(first["variant"])] = knob_of(first.to_dict())
            for panel, quantity in zip(panels, QUANTITIES, strict=True):
                if quantity in curve:
                    panel.plot(curve["tokens"] / 1e6, curve[quantity], **series[str(label)])
        _dress(panels)
        panels[0].set_title(f"{model}, {hookpoint}, {_note(knobs)}", loc="left")
    for panel in axes[-1]:
        panel.set_xlabel("Tokens (millions)")
    plot.legend_below(drawing, plot.legend_of(series))
    return drawing, without_idle_k(table)


def _curves(shown: Shown) -> Iterator[pd.DataFrame]:
    """The curve of each sweep that is shown, at the lambda or k whose L0 is nearest.

    Cells without a curve are left out. The k of a step, which falls during a warm-up, is column
    ``k_at_step``; column ``k`` is the last one, as of the cell.
    """
    curves = dict(iter(shown.measures.curves().groupby("cell", sort=False)))
    drawn = {(cell.sweep, cell.knob): cell for cell in shown.spec.drawn if cell.path in curves}
    for (*names, series), rows in shown.rows(POINTS).groupby([*SWEEP, "series"], sort=False):
        sweep = SweepKey._make(names)
        l0: dict[float, float] = {}
        for row in rows.to_dict("records"):
            knob = row["lam"] if pd.notna(row["lam"]) else row["k"]
            if (sweep, knob) in drawn:
                l0.setdefault(knob, row["l0"])  # of seeds apart the lowest, whose cell is drawn
        knob = nearest_lambda(l0, shown.spec.matched_levels[0])
        if knob is not None:
            cell = drawn[sweep, knob]
            curve = curves[cell.path].drop(columns="cell").dropna(axis=1, how="all")
            chosen = np.linspace(0, len(curve) - 1, min(len(curve), MOST)).round().astype(int)
            named: dict[str, Any] = {name: getattr(cell, name, series) for name in KEYS}
            curve = curve.iloc[chosen].rename(columns={K: "k_at_step"}).assign(**named)
            yield curve[[*KEYS, *curve.columns.difference(KEYS, sort=False)]]


def _dress(panels: Sequence[mpl.axes.Axes]) -> None:
    """The axes of one model and hookpoint."""
    for panel, (label, scale) in zip(panels, QUANTITIES.values(), strict=True):
        panel.set_ylabel(label)
        plot.grid(panel)
        if scale == "log" and np.isfinite(panel.dataLim.minposy):  # something positive is shown
            panel.set_yscale("log")
            plot.decimal_ticks(panel.yaxis)
        elif scale == "linear":
            most = max(0.1, panel.dataLim.y1)  # which is minus infinity without a line
            panel.set_ylim(-0.04 * most, 1.04 * most)


def _note(knobs: dict[str, str]) -> str:
    """The lambda or k of each side, or the one that all have."""
    if len(different := set(knobs.values())) < 2:
        return different.pop() if different else "no curve is there"
    return ", ".join(f"{knob} ({name})" for name, knob in knobs.items())
