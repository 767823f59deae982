"""Figures of what a sign is worth: quality against width, and the rate against training tokens."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from pipeline.analysis.figure import figure, once
from pipeline.analysis.figures import mpl, plot
from pipeline.analysis.figures.shown import LINES, Drawn, Look, Shown, look_of
from pipeline.analysis.numbers import LOOKS, OTHER_COLOURS
from pipeline.analysis.tables.ranking import RANKING
from pipeline.analysis.tables.sides import SIGN_RATES
from sagsae.autoencoders.registry import sides, stem

PLACE = ["recipe", "model", "hookpoint"]
# Marks a rate of which the widths that were trained give a bound alone.
BOUNDS = {"above": "^", "below": "v", "": "o"}
WITH_RATES = once(SIGN_RATES.is_of)


@figure([SIGN_RATES], when=WITH_RATES, all_recipes=True)
def figure_sign_rates(shown: Shown) -> Drawn:
    """What a sign is worth in width.

    A point shows how many one-sided latents are as good as a two-sided one, by R2, against training
    tokens; a ring: each was seen more than once. At 1 the sign is worth nothing; a triangle is a
    bound.
    """
    table, spec = shown.table(SIGN_RATES), shown.spec
    rows = table[(table["measure"] == "r2") & (table["l0"] == spec.matched_levels[0])]
    rows = with_data(rows, spec.levels)
    widths = sorted(rows["multiple"].unique())
    styles, legend = {}, {}
    for family, multiple in dict.fromkeys(zip(rows["family"], rows["multiple"], strict=True)):
        line = LINES[widths.index(multiple) % len(LINES)]
        look = {"color": LOOKS[family].colour, "ls": line, "lw": 1.0, "marker": "o", "ms": 4}
        styles[family, multiple] = look
        legend[f"{LOOKS[family].label}, {'' if multiple == 1 else f'{multiple:g}'}d"] = look
    several = rows["tokens"].nunique() > 1
    labels = "Training tokens (millions)" if several else "", "Rate"
    places = set(zip(rows["model"], rows["hookpoint"], strict=True))
    drawing, panels = shown.panels(
        rows, plot.legend_of(legend), labels, places=places, sharex=True, sharey=True
    )
    for panel, here in panels:
        for number, ((family, multiple), style) in enumerate(styles.items()):
            line = here[(here["family"] == family) & (here["multiple"] == multiple)]
            shift = 1 + 0.06 * (number - len(styles) / 2)
            _points(panel, line.sort_values("tokens"), style, shift)
        panel.axhline(1, color="black", lw=0.8, zorder=1)
        panel.set_xscale("log")
        ticks = mpl.ticker.LogLocator(subs=(1, 2, 5)) if several else mpl.ticker.NullLocator()
        panel.xaxis.set_major_locator(ticks)
        panel.set_yscale("log", base=2)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    names = ["family", "variant", "width", "multiple", "tokens", "epochs", "rate", "bound"]
    return drawing, rows[[*PLACE, *names, "rate_low", "rate_high", "seeds"]]


@figure([SIGN_RATES], when=WITH_RATES)
def figure_rate_widths(shown: Shown) -> Drawn:
    """What a sign is worth, by width.

    A line shows the rate at one place against the two-sided width, with 95 % intervals, at the
    study's first L0. At 1 the sign is worth nothing; a triangle is a bound.
    """
    table, first = shown.table(SIGN_RATES), shown.spec.matched_levels[0]
    kept = (table["recipe"] == shown.recipe) & (table["measure"] == "r2") & (table["l0"] == first)
    rows = table[kept].assign(place=lambda rows: rows["model"] + ", " + rows["hookpoint"])
    families = [name for name in LOOKS if name in set(rows["family"])]
    looks = product(LINES, OTHER_COLOURS)
    styles = {
        place: look_of(colour, "o", line)
        for place, (line, colour) in zip(rows["place"].unique(), looks, strict=False)
    }
    size = max(3.5, 2.6 * len(families)), 2.4 + 0.19 * len(styles)
    drawing, (panels,) = plot.canvas(size, 1, max(1, len(families)), sharey=True)
    plot.legend_below(drawing, plot.legend_of(styles))
    for panel, family in zip(panels, families, strict=False):
        for place, style in styles.items():
            line = rows[(rows["family"] == family) & (rows["place"] == place)].sort_values("width")
            panel.plot(line["multiple"], line["rate"], **style | {"marker": ""})
            _marks(panel, line, line["multiple"], style)
        panel.axhline(1, color="black", lw=0.8, zorder=1)
        panel.set_title(LOOKS[family].label)
        panel.set_xlabel("Two-sided width, in multiples of d")
        panel.set_xscale("log", base=2)
        panel.set_yscale("log", base=2)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
        plot.grid(panel)
    panels[0].set_ylabel("Rate")
    names = ["family", "variant", "width", "multiple", "l0", "rate", "bound"]
    return drawing, rows[[*PLACE, *names, "rate_low", "rate_high", "seeds"]]


def _points(panel: mpl.axes.Axes, rows: pd.DataFrame, style: Look, shift: float) -> None:
    """The rates of one family at one width, a line through those of one epoch."""
    once = rows[rows["epochs"] <= 1]
    panel.plot(once["tokens"] * shift, once["rate"], **style | {"marker": ""})
    for again, here in rows.groupby(rows["epochs"] > 1):
        rings: Look = {"mfc": "none", "ms": 7} if again else {}
        _marks(panel, here, here["tokens"] * shift, style | rings)


def _marks(panel: mpl.axes.Axes, rows: pd.DataFrame, x: pd.Series, style: Look) -> None:
    """Rates with their intervals; those that are bounds have markers of their own."""
    for bound, here in rows.groupby("bound"):
        low, high = (here[end].fillna(here["rate"]) for end in ("rate_low", "rate_high"))
        error = np.array([here["rate"] - low, high - here["rate"]])
        marks = style | {"marker": BOUNDS[str(bound)], "ls": ""}
        panel.errorbar(x[here.index], here["rate"], error, capsize=1.5, **marks)


def with_data(rows: pd.DataFrame, levels: dict[str, dict[str, str]]) -> pd.DataFrame:
    """Rows with ``tokens``, the millions of training tokens of the recipe of each, and ``epochs``,
    how often each token was seen. A study whose recipes do not say so has one unit of data."""
    said = [levels.get(recipe, {}) for recipe in rows["recipe"]]
    tokens = np.array([float(level.get("tokens", 1e6)) for level in said])
    unique = np.array([float(level.get("unique_rows", 0)) for level in said])
    return rows.assign(tokens=tokens / 1e6, epochs=tokens / np.where(unique, unique, tokens))


@figure([RANKING], when=WITH_RATES)
def figure_widths(shown: Shown) -> Drawn:
    """Quality against width.

    A line shows R2 at the study's first L0 against the width; dashes are two sides. A sign is worth
    the way from the dashed line to the right, up to the solid line of the same colour.
    """
    table = shown.table(RANKING)
    first = shown.spec.matched_levels[0]
    rows = table[(table["recipe"] == shown.recipe) & (table["l0"] == first) & table["r2"].notna()]
    rows = rows.assign(multiple=rows["width"] / rows["model"].map(shown.spec.models))
    series: dict[str, Look] = {}
    for variant in (name for name in LOOKS if name in set(rows["variant"])):
        known, two = LOOKS[stem(variant)], sides(variant) == 2
        dashes = "--" if two else "-"
        series[variant] = look_of(known.colour, known.marker, dashes, 0.9, hollow=two)
    legend = plot.legend_of({LOOKS[name].label: look for name, look in series.items()})
    labels = "Width, in multiples of d", f"R2 at L0 = {first:g}"
    drawing, panels = shown.panels(rows, legend, labels)
    for panel, here in panels:
        for variant, look in series.items():
            line = here[here["variant"] == variant].sort_values("width")
            panel.errorbar(line["multiple"], line["r2"], line["r2_se"], capsize=1.5, **look)
        panel.set_xscale("log", base=2)
        ticks = sorted(here["multiple"].unique())
        panel.set_xticks(ticks, [f"{round(tick, 2):g}" for tick in ticks])
        panel.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    names = [*PLACE, "variant", "width", "multiple", "l0", "r2", "r2_se", "seeds"]
    return drawing, rows[names]
