"""Depth: R², L0 and nats of a model with several layers, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from pipeline.analysis.figure import Cut, figure, under_each_recipe
from pipeline.analysis.figures import plot
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.analysis.tables.cells import CELLS, POINTS
from pipeline.study.cell import KNOBS
from pipeline.study.places import Place
from pipeline.study.scope import Scope

# What is drawn -> its name.
MEASURED = {"r2": "R²", "l0": "L0", "nats": "CE loss increase\n(nats per token)"}
LINE = ["model", "place", "series", "variant", "width", "number"]


def _when(scope: Scope) -> Iterable[Cut]:
    layers = {Place.named(name).layer for name in scope.hookpoints}
    return under_each_recipe(scope) if len(layers) > 1 else ()


@figure(
    [CELLS, POINTS],
    when=_when,
    title="R², L0 and CE loss increase against depth",
    caption="A line joins the layers of a sweep at its first lambda or k, at its second, and so "
    "on; means over seeds, collapsed cells left out. The CE loss increase is how much the "
    "next-token loss rises when reconstructions replace the activations.",
)
def figure_depth(shown: Shown) -> Drawn:
    points = _points(replace(shown, everything=True).rows(CELLS))
    series, columns = shown.lines(points), list(points.groupby(["model", "place"], sort=False))
    size = max(3.5, 2.25 * len(columns)), 1.7 * len(MEASURED) + 0.19 * len(series) + 0.42
    drawing, axes = plot.canvas(size, len(MEASURED), max(1, len(columns)), sharex="col")
    plot.legend_below(drawing, plot.legend_of(series))
    for panels, ((model, place), here) in zip(axes.T, columns, strict=False):
        for panel, (measured, name) in zip(panels, MEASURED.items(), strict=True):
            for (label, _), line in here.groupby(["series", "number"]):
                panel.plot(line["layer"], line[measured], **series[str(label)])
            panel.set_ylabel(name)
            plot.grid(panel)
        panels[1].set_yscale("log")
        plot.decimal_ticks(panels[1].yaxis)
        panels[0].set_title(f"{model}\n{place}")
        panels[-1].set_xlabel("Layer")
        panels[-1].set_xticks(sorted(set(here["layer"])))
    return drawing, points


def _points(cells: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, by layer; ``place`` is without the layer, ``number`` that of the lambda or
    k in its sweep."""
    places = [Place.named(name) for name in cells["hookpoint"]]
    cells = cells.assign(
        place=[place._replace(layer=None).name for place in places],
        nats=cells["ce_sae"] - cells["ce_clean"],
    )
    knobs = [name for name in KNOBS if name in cells]
    cells["knob"] = cells[knobs].bfill(axis="columns").iloc[:, 0].astype(float)
    ranked = cells.groupby(["hookpoint", *(name for name in LINE if name in cells)])["knob"]
    cells["number"] = ranked.rank(method="dense").astype(int)
    kept = cells[(cells["collapsed"] == "") & cells["layer"].notna()]
    means = kept.groupby([*LINE, "layer", "knob"], sort=False)[list(MEASURED)].mean()
    return means.reset_index().sort_values([*LINE, "layer"], ignore_index=True)
