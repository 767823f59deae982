"""Figures of the probes: accuracy against the number of sides, absorption against L0."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from pipeline.figures.panels import Series, at, curve, dress, grid, panels_of
from pipeline.figures.shown import Drawn, Shown
from pipeline.study.knob_columns import CELL_K, k_for_lambda
from pipeline.study.operating_point import nearest_lambda
from pipeline.study.outputs import ABSORPTION, POINTS, PROBING
from pipeline.study.probe_runs import ALL, DENSE, NEURONS
from pipeline.text.csv_files import read_table
from sagsae.autoencoders.registry import K

SWEEP = ["recipe", "model", "hookpoint", "series", "variant", "width"]
POINT = ["collapsed", "lr_noisy"]
GREY, BLACK = "#8A8A8A", "#222222"


def figure_probing(shown: Shown) -> Drawn:
    """Accuracy over all labels against k, each sweep at one lambda."""
    every = _rows(shown, PROBING)
    found = _at_one_lambda(every[every["kind"] == ALL], shown.spec.matched_levels[0])
    means = found.groupby([*SWEEP, *_knobs(found), "k"], sort=False, dropna=False)
    points = means[["l0", "accuracy", "latents", "neurons", "dense"]].mean().reset_index()
    points = points.assign(accuracy_se=means["accuracy"].sem().to_numpy())
    series = _drawn(shown, points)
    legend = [*_legend(series), _line(NEURONS, GREY, ":"), _line(DENSE, BLACK, "--")]
    labels = "Sides that a probe may use, k", "Accuracy"
    figure, panels = panels_of(shown.placed, 1.95, legend, labels, sharey=True)
    for (model, hookpoint), panel in panels.items():
        here = at(points, model, hookpoint)
        for label, style in series.items():
            _draw(panel, here[here["series"] == label], style)
        if len(here):
            own = here.drop_duplicates("k").sort_values("k")
            panel.plot(own["k"], own["neurons"], color=GREY, ls=":", lw=1.2, zorder=1)
            panel.axhline(own["dense"].iloc[0], color=BLACK, ls="--", lw=0.9, zorder=1)
        panel.set_title(f"{model}, {hookpoint}" + ("\nnothing to draw" if here.empty else ""))
        _count_axis(panel, sorted(points["k"].unique()))
        grid(panel)
    return figure, points


def figure_absorption(shown: Shown) -> Drawn:
    """Mean absorption fraction against L0."""
    cells = _rows(shown, ABSORPTION)
    means = cells.groupby([*SWEEP, *_knobs(cells), *POINT], sort=False, dropna=False)
    points = means[["l0", "fraction", "full", "labels"]].mean().reset_index()
    errors = means[["l0", "fraction"]].sem().reset_index(drop=True).add_suffix("_se")
    points = pd.concat([points, errors], axis=1)
    series = _drawn(shown, points)
    labels = "L0 (active latents per token)", "Absorption fraction"
    figure, panels = panels_of(shown.placed, 1.95, _legend(series), labels)
    for (model, hookpoint), panel in panels.items():
        here = at(points, model, hookpoint)
        for label, style in series.items():
            curve(panel, here[here["series"] == label], "fraction", style)
        dress(panel, here, "fraction", f"{model}, {hookpoint}")
    numbers = [*SWEEP, *_knobs(cells), "l0", "l0_se", "fraction", "fraction_se", "full", "labels"]
    return figure, points[[*numbers, "collapsed"]]


def _rows(shown: Shown, name: str) -> pd.DataFrame:
    """The rows of a table of cells, of every sweep, with what is drawn of their points."""
    points = replace(shown, everything=True).rows(POINTS).rename(columns={K: CELL_K})
    table = shown.spec.under(shown.recipe, read_table(shown.tables / name))
    keys = ["recipe", "model", "hookpoint", "variant", "width", *_knobs(table)]
    return table.merge(points[[*keys, "series", *POINT]], on=keys)


def _knobs(table: pd.DataFrame) -> list[str]:
    """The columns that say at which lambda or k a cell is."""
    return [name for name in ("lam", CELL_K) if name in table]


def _at_one_lambda(rows: pd.DataFrame, level: float) -> pd.DataFrame:
    """The rows of each sweep at the lambda whose L0 is nearest a level."""
    kept = []
    for _, sweep in rows.groupby(SWEEP, sort=False):
        knob = k_for_lambda(sweep)["lam"]
        means = sweep.groupby(knob)["l0"].mean()
        lam = nearest_lambda(dict(zip(means.index.tolist(), means.tolist(), strict=True)), level)
        kept.append(sweep[knob == lam])
    return pd.concat(kept) if kept else rows


def _drawn(shown: Shown, points: pd.DataFrame) -> dict[str, Series]:
    there = set(points["series"])
    return {label: style for label, style in shown.series.items() if label in there}


def _draw(panel: Axes, points: pd.DataFrame, style: Series) -> None:
    points = points.sort_values("k")
    panel.errorbar(
        points["k"],
        points["accuracy"],
        yerr=points["accuracy_se"].fillna(0),
        color=style.colour,
        ls=style.line,
        lw=1.3 * style.weight,
        marker=style.marker,
        markersize=4.5 * style.weight,
        elinewidth=0.8,
        zorder=2,
    )


def _count_axis(panel: Axes, ks: list[int]) -> None:
    panel.set_xscale("log")
    panel.set_xticks(ks, [str(k) for k in ks])
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.margins(x=0.08, y=0.1)


def _legend(series: dict[str, Series]) -> list[Line2D]:
    return [
        Line2D([], [], color=s.colour, marker=s.marker, ls=s.line, label=s.label)
        for s in series.values()
    ]


def _line(label: str, colour: str, line: str) -> Line2D:
    return Line2D([], [], color=colour, ls=line, lw=1.2, label=label)
