"""Figures of the probes: accuracy against the number of sides, absorption against L0."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from pipeline.analysis.figure import figure, of_jobs
from pipeline.analysis.figures import mpl
from pipeline.analysis.figures.panels import L0, curves, dress, panels_of
from pipeline.analysis.figures.shown import Drawn, Look, Shown, legend_of
from pipeline.analysis.table import Table
from pipeline.analysis.tables.cells import POINTS
from pipeline.analysis.tables.probing import ABSORPTION, CELL_K, PROBING, k_for_lambda
from pipeline.study.looks import nearest_lambda
from pipeline.study.probe import ALL, DENSE, NEURONS
from sagsae.autoencoders.registry import K

SWEEP = ["recipe", "model", "hookpoint", "series", "variant", "width"]
COORDINATES: Look = {"color": "#8A8A8A", "ls": ":", "lw": 1.2}
# How probes on the activation itself are drawn.
WHOLE: Look = {"color": "#222222", "ls": "--", "lw": 0.9}

PROBED = of_jobs("probe")


@figure([PROBING, POINTS], when=PROBED)
def figure_probing(shown: Shown) -> Drawn:
    """Sparse probing.

    A line shows how often a probe on k sides of a code tells a label from its absence. The sides of
    a higher line follow the labels more closely; 0.5 is chance.
    """
    every = _rows(shown, PROBING)
    found = _at_one_lambda(every[every["kind"] == ALL], shown.spec.matched_levels[0])
    means = found.groupby([*SWEEP, *_knobs(found), "k"], sort=False, dropna=False)
    points = means[["l0", "accuracy", "latents", "neurons", "dense"]].mean().reset_index()
    points = points.assign(accuracy_se=means["accuracy"].sem().to_numpy())
    series, ks = shown.lines(points), sorted(points["k"].unique())
    legend = legend_of(series | {NEURONS: COORDINATES, DENSE: WHOLE})
    labels = "Sides that a probe may use, k", "Accuracy"
    drawing, panels = panels_of(shown.places, points, legend, labels, sharey=True)
    for panel, rows in panels:
        here = rows.sort_values("k", kind="stable")
        for label, look in series.items():
            own = here[here["series"] == label]
            panel.errorbar(own["k"], own["accuracy"], own["accuracy_se"], elinewidth=0.8, **look)
        own = here.drop_duplicates("k")
        panel.plot(own["k"], own["neurons"], **COORDINATES, zorder=1)
        for dense in own["dense"][:1]:
            panel.axhline(dense, **WHOLE, zorder=1)
        panel.set_xscale("log")
        panel.set_xticks(ks, [str(k) for k in ks])
        panel.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        panel.margins(x=0.08, y=0.1)
    return drawing, points


@figure([ABSORPTION, POINTS], when=PROBED)
def figure_absorption(shown: Shown) -> Drawn:
    """Feature absorption.

    A line shows how much of a first letter is left to sides that do not stand for it. The lower
    line is better.
    """
    cells = _rows(shown, ABSORPTION)
    knobs = _knobs(cells)
    means = cells.groupby([*SWEEP, *knobs, "collapsed"], sort=False, dropna=False)
    points = means[["l0", "fraction", "full", "labels"]].mean().reset_index()
    errors = means[["l0", "fraction"]].sem().reset_index(drop=True).add_suffix("_se")
    points = pd.concat([points, errors], axis=1)
    series = shown.lines(points)
    drawn = points.assign(value=points["fraction"], value_se=points["fraction_se"])
    labels = L0, "Absorption fraction"
    drawing, panels = panels_of(shown.places, drawn, legend_of(series), labels)
    for panel, here in panels:
        curves(panel, here, series)
        dress(panel, here)
    numbers = [*SWEEP, *knobs, "l0", "l0_se", "fraction", "fraction_se", "full", "labels"]
    return drawing, points[[*numbers, "collapsed"]]


def _rows(shown: Shown, declared: Table) -> pd.DataFrame:
    """The rows of a table of cells, of every sweep, with what is drawn of their points."""
    points = replace(shown, everything=True).rows(POINTS)
    points = points.rename(columns={K: CELL_K, "seed": "of_seed"})
    table = shown.spec.under(shown.recipe, shown.table(declared))
    keys = ["recipe", "model", "hookpoint", "variant", "width", *_knobs(table)]
    found = table.merge(points[[*keys, "series", "of_seed", "collapsed"]], on=keys)
    return found[found["of_seed"].isna() | (found["of_seed"] == found["seed"])]


def _knobs(table: pd.DataFrame) -> list[str]:
    """The columns that say at which lambda or k a cell is."""
    return [name for name in ("lam", CELL_K) if name in table]


def _at_one_lambda(rows: pd.DataFrame, level: float) -> pd.DataFrame:
    """The rows of each sweep at the lambda whose L0 is nearest a level."""
    kept = [rows[:0]]
    for _, sweep in rows.groupby(SWEEP, sort=False):
        knob = k_for_lambda(sweep)["lam"]
        l0 = sweep.groupby(knob)["l0"].mean()
        lam = nearest_lambda(dict(zip(l0.index.tolist(), l0.tolist(), strict=True)), level)
        kept.append(sweep[knob == lam])
    return pd.concat(kept)
