"""Figures of the dial: what steering does against its size, a panel per model and hookpoint."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pipeline.analysis.figures.panels import at, grid, panels_of
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.analysis.numbers import variant_label
from pipeline.study.dial import LATENT, PAIR, RANDOM
from pipeline.study.outputs import DIAL, DIAL_CURVES
from sagsae.autoencoders.registry import looks

WORDS = {LATENT: "{}, one signed latent", PAIR: "{}, opposite pair", RANDOM: "random direction"}
"""Kind of direction -> its line in the legend; those drawn last lie on top."""
LINES = {LATENT: "-", PAIR: "--", RANDOM: "-"}
"""How the median of each kind is drawn."""
GREY = "#9A9A9A"
KEYS = ["recipe", "model", "hookpoint", "seed", "comparison", "kind", "rank"]


def figure_dial(shown: Shown) -> Drawn:
    """Causal dial.

    A step of size α along one direction is added to the activations at kept positions; α = 1 is
    their root mean square distance from their mean. A thin line is one signed latent, one opposite
    pair of the baseline's latents, of which each serves one sense, or one random direction; a thick
    line is the median. Both sides are those of the first comparison. Shown: how far the logit
    difference moves between the tokens that the two senses promote most; the tokens were chosen on
    other contexts. A dial goes up through zero at every step, and further than random directions
    do.
    """
    return against_size(shown, "effect", "Logit difference, change (nats)")


def figure_dial_kl(shown: Shown) -> Drawn:
    """Causal dial, divergence.

    A step of size α along one direction is added to the activations at kept positions; α = 1 is
    their root mean square distance from their mean. A thin line is one signed latent, one opposite
    pair of the baseline's latents, of which each serves one sense, or one random direction; a thick
    line is the median. Both sides are those of the first comparison. Shown: how far the next-token
    distribution moves, as KL(untouched || steered).
    """
    return against_size(shown, "kl", "KL (nats)")


def against_size(shown: Shown, measure: str, label: str) -> Drawn:
    """A measure of ``dial_curves.csv`` against the size, of the first comparison; a CSV row per
    direction and size."""
    curves = shown.table(DIAL_CURVES).merge(
        shown.table(DIAL)[[*KEYS, "variant", "width", "dial"]], on=KEYS, how="left"
    )
    curves = curves[(curves["recipe"] == shown.recipe) & (curves["comparison"] == 1)]
    colours, legend = _lines(curves)
    labels = "Size α of the step", label
    figure, panels = panels_of(shown.placed, 1.95, legend, labels)
    for (model, hookpoint), panel in panels.items():
        here = at(curves, model, hookpoint)
        for kind in (RANDOM, PAIR, LATENT):
            _draw(panel, here[here["kind"] == kind], measure, colours[kind], LINES[kind])
        panel.set_title(f"{model}, {hookpoint}" + ("\nnothing to draw" if here.empty else ""))
        panel.axhline(0, color="#888888", lw=0.7, zorder=1)
        panel.axvline(0, color="#888888", lw=0.7, zorder=1)
        grid(panel)
    error = ["effect_se"] if measure == "effect" else []
    return figure, curves[[*KEYS, "variant", "width", "dial", "size", measure, *error]]


def _draw(panel: Axes, curves: pd.DataFrame, measure: str, colour: str, line: str) -> None:
    """A thin line for each direction, and a thick one for their median."""
    for _, one in curves.groupby(["seed", "rank"]):
        panel.plot(one["size"], one[measure], color=colour, lw=0.5, alpha=0.45, zorder=2)
    middle = curves.groupby("size")[measure].median()
    panel.plot(middle.index, middle, color=colour, ls=line, lw=1.6, zorder=3)


def _lines(curves: pd.DataFrame) -> tuple[dict[str, str], list[Line2D]]:
    """Colour of each kind of direction, and the legend."""
    colours, legend = dict.fromkeys(WORDS, GREY), []
    known = looks(set(curves["variant"]) - {""})
    for kind, words in WORDS.items():
        found = curves[curves["kind"] == kind]
        if found.empty:
            continue
        if variant := found["variant"].iloc[0]:
            colours[kind] = known[variant][0]
        number = len(found[KEYS].drop_duplicates())
        text = f"{words.format(variant_label(variant) if variant else '')} ({number})"
        legend.append(Line2D([], [], color=colours[kind], ls=LINES[kind], lw=1.6, label=text))
    return colours, legend
