"""Figures of what a sign is worth: quality against width, and the rate against training tokens."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pipeline.analysis.figure import figure, once
from pipeline.analysis.figures import mpl
from pipeline.analysis.figures.panels import panels_of
from pipeline.analysis.figures.shown import LINES, Drawn, Look, Shown, legend_of, look_of
from pipeline.analysis.tables.ranking import RANKING
from pipeline.analysis.tables.sign_rates import SIGN_RATES
from sagsae.autoencoders.registry import VARIANTS, sides, stem

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
    rows = rows.join(pd.DataFrame(_data(rows, spec.levels), rows.index, ["tokens", "epochs"]))
    series = dict.fromkeys(zip(rows["family"], rows["multiple"], strict=True))
    styles = {one: _style(*one, rows) for one in series}
    legend = legend_of(
        {
            f"{VARIANTS[family].label}, {'' if multiple == 1 else f'{multiple:g}'}d": style
            for (family, multiple), style in styles.items()
        }
    )
    several = rows["tokens"].nunique() > 1
    labels = "Training tokens (millions)" if several else "", "Rate"
    places = list(rows["model"].unique()), list(rows["hookpoint"].unique())
    drawing, panels = panels_of(places, rows, legend, labels, sharex=True, sharey=True)
    for panel, here in panels:
        for number, (one, style) in enumerate(styles.items()):
            own = here[(here["family"] == one[0]) & (here["multiple"] == one[1])]
            _points(panel, own.sort_values("tokens"), style, 1 + 0.06 * (number - len(styles) / 2))
        panel.axhline(1, color="black", lw=0.8, zorder=1)
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(
            mpl.ticker.LogLocator(subs=(1, 2, 5)) if several else mpl.ticker.NullLocator()
        )
        panel.set_yscale("log", base=2)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    names = ["family", "variant", "width", "multiple", "tokens", "epochs", "rate", "bound"]
    return drawing, rows[[*PLACE, *names, "rate_low", "rate_high", "seeds"]]


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
    variants = [name for name in VARIANTS if name in set(rows["variant"])]
    legend = legend_of({VARIANTS[name].label: _look(name) for name in variants})
    labels = "Width, in multiples of d", f"R2 at L0 = {first:g}"
    drawing, panels = panels_of(shown.places, rows, legend, labels)
    for panel, here in panels:
        for name in variants:
            own = here[here["variant"] == name].sort_values("width")
            panel.errorbar(own["multiple"], own["r2"], own["r2_se"], capsize=1.5, **_look(name))
        panel.set_xscale("log", base=2)
        ticks = sorted(here["multiple"].unique())
        panel.set_xticks(ticks, [f"{round(tick, 2):g}" for tick in ticks])
        panel.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    names = [*PLACE, "variant", "width", "multiple", "l0", "r2", "r2_se", "seeds"]
    return drawing, rows[names]


def _look(variant: str) -> Look:
    known, two = VARIANTS[stem(variant)], sides(variant) == 2
    return look_of(known.colour, known.marker, "--" if two else "-", 0.9, hollow=two)


def _style(family: str, multiple: float, rows: pd.DataFrame) -> Look:
    """A family has a colour, a width a line."""
    widths = sorted(rows["multiple"].unique())
    line = LINES[widths.index(multiple) % len(LINES)]
    return {"color": VARIANTS[family].colour, "ls": line, "lw": 1.0, "marker": "o", "ms": 4}


def _points(panel: mpl.axes.Axes, rows: pd.DataFrame, style: Look, shift: float) -> None:
    """The rates of one family at one width, a line through those of one epoch."""
    once = rows[rows["epochs"] <= 1]
    panel.plot(once["tokens"] * shift, once["rate"], **style | {"marker": ""})
    for (bound, again), own in rows.groupby(["bound", rows["epochs"] > 1]):
        marks: Look = {"marker": BOUNDS[str(bound)], "ls": ""}
        marks |= {"mfc": "none", "ms": 7} if again else {}
        low, high = (own[end].fillna(own["rate"]) for end in ("rate_low", "rate_high"))
        error = np.array([own["rate"] - low, high - own["rate"]])
        panel.errorbar(own["tokens"] * shift, own["rate"], error, capsize=1.5, **style | marks)


def _data(rows: pd.DataFrame, levels: dict[str, dict[str, str]]) -> Iterator[tuple[float, float]]:
    """Millions of training tokens, and how often each was seen, of the recipe of each row. A study
    whose recipes do not say so has one unit of data."""
    for recipe in rows["recipe"]:
        own = levels.get(recipe, {})
        tokens = float(own.get("tokens", 1e6))
        yield tokens / 1e6, tokens / (float(own.get("unique_rows", 0)) or tokens)
