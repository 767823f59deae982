"""Figure of quality against width, and of what the law of width and training predicts."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from pipeline.analysis.columns import recipe_name
from pipeline.analysis.figure import Cut, figure, under_each_recipe
from pipeline.analysis.figures import mpl, plot
from pipeline.analysis.figures.shown import Drawn, Look, Shown, look_of
from pipeline.analysis.numbers import LOOKS, looks, variant_label
from pipeline.analysis.tables.ranking import RANKING
from pipeline.analysis.tables.scaling import PREDICTIONS
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import sides, stem


def _when(scope: Scope) -> Iterable[Cut]:
    return under_each_recipe(scope) if RANKING.is_of(scope) and PREDICTIONS.is_of(scope) else ()


@figure(
    [RANKING, PREDICTIONS],
    when=_when,
    title="Explained variance against width",
    caption="A line shows R² at the study's first L0 against the width; dashed lines are signed "
    "latents, "
    "dots what a scaling law predicts. The width multiplier is the horizontal distance from the "
    "dashed line to the solid line.",
)
def figure_widths(shown: Shown) -> Drawn:
    rows, series = _points(shown), dict[str, Look]()
    for name, (colour, marker) in looks(rows["variant"]).items():
        two, family = sides(name) == 2, LOOKS.get(stem(name))
        colour = family.colour if family else colour
        series[name] = look_of(colour, marker, "--" if two else "-", 0.9, hollow=two)
    legend = plot.legend_of({variant_label(name): look for name, look in series.items()})
    first = shown.spec.matched_levels[0]
    labels = "Width, in multiples of d", f"R² at L0 = {first:g}"
    drawing, panels = shown.panels(rows, legend, labels)
    for panel, here in panels:
        for variant, look in series.items():
            line = here[here["variant"] == variant].sort_values("width")
            trained, predicted = line[~line["predicted"]], line[line["predicted"]]
            x, y, error = (trained[name] for name in ("multiple", "r2", "r2_se"))
            panel.errorbar(x, y, error, capsize=1.5, **look)
            ends = pd.concat([trained.tail(1), predicted])
            panel.plot(ends["multiple"], ends["r2"], **look | {"ls": ":", "marker": ""})
        panel.set_xscale("log", base=2)
        ticks = sorted(here["multiple"].unique())
        panel.set_xticks(ticks, [f"{round(tick, 2):g}" for tick in ticks])
        panel.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    return drawing, rows


def _points(shown: Shown) -> pd.DataFrame:
    """What was trained, and what is predicted of twice the widest after an equal training."""
    ranking, laws = shown.table(RANKING), shown.table(PREDICTIONS)
    first = shown.spec.matched_levels[0]
    own = (ranking["recipe"] == shown.recipe) & (ranking["l0"] == first) & ranking["r2"].notna()
    named = [recipe_name(shown.recipe) in recipes.split() for recipes in laws["recipes"]]
    wider = laws[pd.Series(named, laws.index, dtype=bool) & (laws["kind"] == "wider")]
    if tokens := shown.spec.levels.get(shown.recipe, {}).get("tokens"):
        wider = wider[wider["tokens"] == int(tokens)]
    trained = ranking[own].assign(predicted=False)
    rows = pd.concat([trained, wider.assign(predicted=True)], ignore_index=True)
    multiple = rows["width"] / rows["model"].map(shown.spec.models)
    rows = rows.assign(recipe=shown.recipe, multiple=multiple)
    names = ["recipe", "model", "hookpoint", "variant", "width", "multiple", "l0"]
    return rows[[*names, "r2", "r2_se", "seeds", "predicted"]]
