"""Figures of the probes: accuracy against the number of sides, absorption against L0."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from pipeline.analysis.figures.panels import Series, at, curve, dress, grid, panels_of
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.analysis.knob_columns import CELL_K, k_for_lambda
from pipeline.study.looks import nearest_lambda
from pipeline.study.outputs import ABSORPTION, POINTS, PROBING
from pipeline.study.probe import ALL, DENSE, NEURONS
from sagsae.autoencoders.registry import K

SWEEP = ["recipe", "model", "hookpoint", "series", "variant", "width"]
POINT = ["collapsed", "lr_noisy"]
GREY, BLACK = "#8A8A8A", "#222222"


def figure_probing(shown: Shown) -> Drawn:
    """Sparse probing.

    How often a probe on k sides of a code tells a label of the text from its absence, on documents
    that it was not trained on: a mean over the labels; 0.5 is chance. Each sign of a latent is a
    side. Every line is a sweep at the λ whose L0 is nearest the first matched L0. Dotted grey: the
    same probe on k coordinates of the activation; dashed black: a probe on the whole activation. A
    higher line says that single sides follow the labels more closely.
    """
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
    """Feature absorption.

    How much of a first letter is left to sides that do not stand for it: the mean absorption
    fraction over the tokens with the letter, and over letters. Lower is better. Each point is one
    λ, averaged over seeds.
    """
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
    points = points.rename(columns={"seed": "of_seed"})
    table = shown.spec.under(shown.recipe, shown.table(name))
    keys = ["recipe", "model", "hookpoint", "variant", "width", *_knobs(table)]
    found = table.merge(points[[*keys, "series", "of_seed", *POINT]], on=keys)
    return found[found["of_seed"].isna() | (found["of_seed"] == found["seed"])]


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
        yerr=points["accuracy_se"],
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
