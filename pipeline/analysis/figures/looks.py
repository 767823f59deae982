"""Figures of jobs that look into cells: what steering does against its size; accuracy of probes
against the number of sides, absorption against L0."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from pipeline.analysis.figure import figure, of_jobs
from pipeline.analysis.figures import mpl, plot
from pipeline.analysis.figures.shown import Drawn, Look, Shown
from pipeline.analysis.numbers import looks, variant_label
from pipeline.analysis.table import Table
from pipeline.analysis.tables.cells import POINTS
from pipeline.analysis.tables.dial import CURVES, DIAL
from pipeline.analysis.tables.probing import ABSORPTION, CELL_K, PROBING, k_for_lambda
from pipeline.study.dial import LATENT, PAIR, RANDOM
from pipeline.study.looks import nearest_lambda
from pipeline.study.probe import ALL, DENSE, NEURONS
from sagsae.autoencoders.registry import K

# Kind of direction -> its line in the legend; those drawn last lie on top.
WORDS = {LATENT: "{}, one signed latent", PAIR: "{}, opposite pair", RANDOM: "random direction"}
GREY = "#9A9A9A"
KEYS = ["recipe", "model", "hookpoint", "seed", "comparison", "kind", "rank"]
STEERED, PROBED = of_jobs("dial"), of_jobs("probe")


@figure(
    [DIAL, CURVES],
    when=STEERED,
    title="Causal dial",
    caption="A thin line shows how steering along one direction moves the logit difference; a "
    "thick line is the median. A dial rises at every step, and further than random "
    "directions.",
)
def figure_dial(shown: Shown) -> Drawn:
    return against_size(shown, ["effect", "effect_se"], "Logit difference, change (nats)")


@figure(
    [DIAL, CURVES],
    when=STEERED,
    title="Causal dial, divergence",
    caption="A thin line shows how far steering along one direction moves the next-token "
    "distribution; a thick line is the median. A higher line is a larger change.",
)
def figure_dial_kl(shown: Shown) -> Drawn:
    return against_size(shown, ["kl"], "KL (nats)")


def against_size(shown: Shown, measures: list[str], label: str) -> Drawn:
    """The first of some columns of ``dial_curves.csv`` against the size, of the first comparison; a
    CSV row per direction and size."""
    names = shown.table(DIAL)[[*KEYS, "variant", "width", "dial"]]
    table = shown.table(CURVES).merge(names, on=KEYS, how="left")
    table = table[(table["recipe"] == shown.recipe) & (table["comparison"] == 1)]
    colours = looks(set(table["variant"]) - {""})
    legend: dict[str, Look] = {}
    strokes: dict[str, Look] = {}
    for kind in (kind for kind in WORDS if (table["kind"] == kind).any()):
        drawn = table[table["kind"] == kind]
        variant = drawn["variant"].iloc[0]
        colour = colours[variant][0] if variant else GREY
        strokes[kind] = {"color": colour, "ls": "--" if kind == PAIR else "-", "lw": 1.6}
        text, count = WORDS[kind].format(variant_label(variant)), len(drawn[KEYS].drop_duplicates())
        legend[f"{text} ({count})"] = strokes[kind]
    steered = zip(table["model"], table["hookpoint"], strict=True)
    labels = "Size α of the step", label
    drawing, panels = shown.panels(table, plot.legend_of(legend), labels, places=set(steered))
    for panel, here in panels:
        for kind, stroke in reversed(strokes.items()):
            drawn = here[here["kind"] == kind]
            lines = drawn.pivot_table(index="size", columns=["seed", "rank"], values=measures[0])
            thin = stroke | {"ls": "-", "lw": 0.5, "alpha": 0.45}
            panel.plot(lines.index, lines, **thin, zorder=2)
            panel.plot(lines.index, lines.median(axis=1), **stroke, zorder=3)
        for axis in (panel.axhline, panel.axvline):
            axis(0, color="#888888", lw=0.7, zorder=1)
    return drawing, table[[*KEYS, "variant", "width", "dial", "size", *measures]]


SWEEP = ["recipe", "model", "hookpoint", "series", "variant", "width"]
COORDINATES: Look = {"color": "#8A8A8A", "ls": ":", "lw": 1.2}
# How probes on the activation itself are drawn.
WHOLE: Look = {"color": "#222222", "ls": "--", "lw": 0.9}


@figure(
    [PROBING, POINTS],
    when=PROBED,
    title="Sparse probing",
    caption="A line shows the accuracy of a probe on k latents, each sign of a signed latent "
    "apart, that "
    "tells a label from its absence. The higher line is better; 0.5 is chance.",
)
def figure_probing(shown: Shown) -> Drawn:
    rows, knobs = _rows(shown, PROBING)
    sweeps = rows[rows["kind"] == ALL].groupby(SWEEP, sort=False)
    near = pd.concat([rows[:0], *(_at_one_lambda(sweep, shown) for _, sweep in sweeps)])
    means = near.groupby([*SWEEP, *knobs, "k"], sort=False, dropna=False)
    points = means[["l0", "accuracy", "latents", "neurons", "dense"]].mean().reset_index()
    points = points.assign(accuracy_se=means["accuracy"].sem().to_numpy())
    series, ks = shown.lines(points), sorted(points["k"].unique())
    legend = plot.legend_of(series | {NEURONS: COORDINATES, DENSE: WHOLE})
    labels = "Latents that a probe may use, k", "Accuracy"
    drawing, panels = shown.panels(points, legend, labels, sharey=True)
    for panel, unordered in panels:
        here = unordered.sort_values("k", kind="stable")
        for label, look in series.items():
            line = here[here["series"] == label]
            panel.errorbar(line["k"], line["accuracy"], line["accuracy_se"], elinewidth=0.8, **look)
        every = here.drop_duplicates("k")
        panel.plot(every["k"], every["neurons"], **COORDINATES, zorder=1)
        for dense in every["dense"][:1]:
            panel.axhline(dense, **WHOLE, zorder=1)
        panel.set_xscale("log")
        panel.set_xticks(ks, [str(k) for k in ks])
        panel.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        panel.margins(x=0.08, y=0.1)
    return drawing, points


@figure(
    [ABSORPTION, POINTS],
    when=PROBED,
    title="Feature absorption",
    caption="A line shows the share of tokens with a first letter at which the latents for this "
    "letter "
    "are silent and another latent takes their place. The lower line is better.",
)
def figure_absorption(shown: Shown) -> Drawn:
    cells, knobs = _rows(shown, ABSORPTION)
    means = cells.groupby([*SWEEP, *knobs, "collapsed"], sort=False, dropna=False)
    points = means[["l0", "fraction", "full", "labels"]].mean().reset_index()
    errors = means[["l0", "fraction"]].sem().reset_index(drop=True).add_suffix("_se")
    points = pd.concat([points, errors], axis=1)
    series, drawn = shown.lines(points), plot.marks(points, "fraction")
    drawing, panels = shown.panels(drawn, plot.legend_of(series), (plot.L0, "Absorption fraction"))
    for panel, here in panels:
        plot.curves(panel, here, series)
        plot.dress(panel, here)
    numbers = ["l0", "l0_se", "fraction", "fraction_se", "full", "labels", "collapsed"]
    return drawing, points[[*SWEEP, *knobs, *numbers]]


def _rows(shown: Shown, declared: Table) -> tuple[pd.DataFrame, list[str]]:
    """The rows of a table of cells, of every sweep, with what is drawn of their points; the columns
    that say at which lambda or k a cell is."""
    points = replace(shown, everything=True).rows(POINTS)
    points = points.rename(columns={K: CELL_K, "seed": "of_seed"})
    table = shown.spec.under(shown.recipe, shown.table(declared))
    knobs = [name for name in ("lam", CELL_K) if name in table]
    keys = ["recipe", "model", "hookpoint", "variant", "width", *knobs]
    rows = table.merge(points[[*keys, "series", "of_seed", "collapsed"]], on=keys)
    return rows[rows["of_seed"].isna() | (rows["of_seed"] == rows["seed"])], knobs


def _at_one_lambda(sweep: pd.DataFrame, shown: Shown) -> pd.DataFrame:
    """The rows of a sweep at the lambda whose L0 is nearest the first matched L0."""
    knob = k_for_lambda(sweep)["lam"]
    l0: dict[Any, float] = sweep["l0"].groupby(knob).mean().to_dict()
    return sweep.loc[knob == nearest_lambda(l0, shown.spec.matched_levels[0])]
