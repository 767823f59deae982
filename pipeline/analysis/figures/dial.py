"""Figures of the dial: what steering does against its size, a panel per model and hookpoint."""

from __future__ import annotations

from pipeline.analysis.figure import figure, of_jobs
from pipeline.analysis.figures.panels import panels_of
from pipeline.analysis.figures.shown import Drawn, Look, Shown, legend_of
from pipeline.analysis.numbers import variant_label
from pipeline.analysis.tables.dial import CURVES, DIAL
from pipeline.study.dial import LATENT, PAIR, RANDOM
from sagsae.autoencoders.registry import looks

# Kind of direction -> its line in the legend; those drawn last lie on top.
WORDS = {LATENT: "{}, one signed latent", PAIR: "{}, opposite pair", RANDOM: "random direction"}
GREY = "#9A9A9A"
STEERED = of_jobs("dial")
KEYS = ["recipe", "model", "hookpoint", "seed", "comparison", "kind", "rank"]


@figure([DIAL, CURVES], when=STEERED)
def figure_dial(shown: Shown) -> Drawn:
    """Causal dial.

    A thin line shows how steering along one direction moves the logit difference; a thick line is
    the median. A dial rises at every step, and further than random directions.
    """
    return against_size(shown, ["effect", "effect_se"], "Logit difference, change (nats)")


@figure([DIAL, CURVES], when=STEERED)
def figure_dial_kl(shown: Shown) -> Drawn:
    """Causal dial, divergence.

    A thin line shows how far steering along one direction moves the next-token distribution; a
    thick line is the median. A higher line is a larger change.
    """
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
        found = table[table["kind"] == kind]
        variant = found["variant"].iloc[0]
        colour = colours[variant][0] if variant else GREY
        strokes[kind] = {"color": colour, "ls": "--" if kind == PAIR else "-", "lw": 1.6}
        text, count = WORDS[kind].format(variant_label(variant)), len(found[KEYS].drop_duplicates())
        legend[f"{text} ({count})"] = strokes[kind]
    labels = "Size α of the step", label
    drawing, panels = panels_of(shown.places, table, legend_of(legend), labels)
    for panel, here in panels:
        for kind, stroke in reversed(strokes.items()):
            own = here[here["kind"] == kind]
            lines = own.pivot_table(index="size", columns=["seed", "rank"], values=measures[0])
            thin = stroke | {"ls": "-", "lw": 0.5, "alpha": 0.45}
            panel.plot(lines.index, lines, **thin, zorder=2)
            panel.plot(lines.index, lines.median(axis=1), **stroke, zorder=3)
        for axis in (panel.axhline, panel.axvline):
            axis(0, color="#888888", lw=0.7, zorder=1)
    return drawing, table[[*KEYS, "variant", "width", "dial", "size", *measures]]
