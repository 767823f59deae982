"""Figure of what a sign is worth in width."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.analysis.figure import figure, once
from pipeline.analysis.figures import mpl, plot
from pipeline.analysis.figures.shown import LINES, Drawn, Look, Shown
from pipeline.analysis.numbers import LOOKS
from pipeline.analysis.tables.sides import SIGN_RATES

PLACE = ["recipe", "model", "hookpoint"]
# Marks a rate of which the widths that were trained give a bound alone.
BOUNDS = {"above": "^", "below": "v", "": "o"}


@figure(
    [SIGN_RATES],
    when=once(SIGN_RATES.is_of),
    all_recipes=True,
    title="Width multiplier of signed latents",
    caption="A point shows how many times wider an unsigned dictionary must be to have the R² of "
    "the "
    "signed one, with its 95 % interval; a ring: each token was seen more than once. At 1 signed "
    "latents gain nothing; a triangle is a bound.",
)
def figure_sign_rates(shown: Shown) -> Drawn:
    table, spec = shown.table(SIGN_RATES), shown.spec
    rows = table[(table["measure"] == "r2") & (table["l0"] == spec.matched_levels[0])]
    rows = with_data(rows, spec.levels)
    # with more widths than lengths of training, against the width at the usual length
    several = rows["tokens"].nunique() > rows["multiple"].nunique()
    if several:
        x, axis = "tokens", "Training tokens (millions)"
    else:
        x, axis = "multiple", "Two-sided width, in multiples of d"
        rows = rows[rows["tokens"] == rows["tokens"].mode()[0]]
    widths = sorted(rows["multiple"].unique()) if several else [0.0]
    rows = rows.assign(of=rows["multiple"] if several else 0.0)
    styles, legend = {}, {}
    for family, of in dict.fromkeys(zip(rows["family"], rows["of"], strict=True)):
        line = LINES[widths.index(of) % len(LINES)]
        look = {"color": LOOKS[family].colour, "ls": line, "lw": 1.0, "marker": "o", "ms": 4}
        styles[family, of] = look
        width = f", {'' if of == 1 else f'{of:g}'}d" if several else ""
        legend[f"{LOOKS[family].label}{width}"] = look
    places = set(zip(rows["model"], rows["hookpoint"], strict=True))
    drawing, panels = shown.panels(
        rows, plot.legend_of(legend), (axis, "Rate"), places=places, sharex=True, sharey=True
    )
    for panel, here in panels:
        for number, ((family, of), style) in enumerate(styles.items()):
            line = here[(here["family"] == family) & (here["of"] == of)].sort_values(x)
            shift = 1 + 0.06 * (number - len(styles) / 2)
            _points(panel, line, line[x] * shift, style)
        panel.axhline(1, color="black", lw=0.8, zorder=1)
        panel.set_xscale("log", base=10 if several else 2)
        panel.set_yscale("log", base=2)
        if several:
            panel.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
        for scale in (panel.xaxis, panel.yaxis):
            scale.set_major_formatter(lambda value, _: f"{value:g}")
        panel.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    names = ["family", "variant", "width", "multiple", "tokens", "epochs", "rate", "bound"]
    return drawing, rows[[*PLACE, *names, "rate_low", "rate_high", "seeds"]]


def _points(panel: mpl.axes.Axes, rows: pd.DataFrame, x: pd.Series, style: Look) -> None:
    """Rates with their intervals, a line through those of one epoch that are no bounds."""
    once = rows["epochs"] <= 1
    panel.plot(x[once], rows["rate"].where(rows["bound"] == "")[once], **style | {"marker": ""})
    for (again, bound), here in rows.groupby([rows["epochs"] > 1, "bound"]):
        low, high = (here[end].fillna(here["rate"]) for end in ("rate_low", "rate_high"))
        error = np.array([here["rate"] - low, high - here["rate"]])
        rings: Look = {"mfc": "none", "ms": 7} if again else {}
        marks = style | rings | {"marker": BOUNDS[str(bound)], "ls": ""}
        panel.errorbar(x[here.index], here["rate"], error, capsize=1.5, **marks)


def with_data(rows: pd.DataFrame, levels: dict[str, dict[str, str]]) -> pd.DataFrame:
    """Rows with ``tokens``, the millions of training tokens of the recipe of each, and ``epochs``,
    how often each token was seen. A study whose recipes do not say so has one unit of data."""
    said = [levels.get(recipe, {}) for recipe in rows["recipe"]]
    tokens = np.array([float(level.get("tokens", 1e6)) for level in said])
    unique = np.array([float(level.get("unique_rows", 0)) for level in said])
    return rows.assign(tokens=tokens / 1e6, epochs=tokens / np.where(unique, unique, tokens))
