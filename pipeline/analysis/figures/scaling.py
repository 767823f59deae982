"""Figure of what the law of width and training predicts."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from pipeline.analysis.columns import recipe_name
from pipeline.analysis.figure import Cut, figure, under_each_recipe
from pipeline.analysis.figures import plot
from pipeline.analysis.figures.shown import Drawn, Look, Shown, look_of
from pipeline.analysis.numbers import looks, variant_label
from pipeline.analysis.tables.ranking import RANKING
from pipeline.analysis.tables.scaling import PREDICTIONS
from pipeline.study.scope import Scope


def _when(scope: Scope) -> Iterable[Cut]:
    return under_each_recipe(scope) if RANKING.is_of(scope) and PREDICTIONS.is_of(scope) else ()


@figure([RANKING, PREDICTIONS], when=_when)
def figure_scaling(shown: Shown) -> Drawn:
    """What twice the width would give.

    A line shows the share of variance that is not explained against width, at the study's first
    L0. Its hollow end is not trained: the law of width and training predicts it.
    """
    rows = _points(shown)
    styles: dict[str, Look] = {
        name: look_of(colour, marker, "-")
        for name, (colour, marker) in looks(rows["variant"]).items()
    }
    legend = plot.legend_of({variant_label(name): look for name, look in styles.items()})
    drawing, panels = shown.panels(rows, legend, ("Width", "1 - R2"))
    for panel, here in panels:
        for variant, look in styles.items():
            line = here[here["variant"] == variant].sort_values("width")
            trained, predicted = line[~line["predicted"]], line[line["predicted"]]
            panel.plot(trained["width"], trained["error"], **look)
            if len(trained) and len(predicted):
                ends = pd.concat([trained.tail(1), predicted])
                panel.plot(ends["width"], ends["error"], **look | {"ls": ":", "marker": ""})
                hollow = {"ls": "", "markerfacecolor": "white"}
                panel.plot(predicted["width"], predicted["error"], **look | hollow)
        panel.set_xscale("log", base=2)
        plot.decimal_ticks(panel.xaxis)
    return drawing, rows


def _points(shown: Shown) -> pd.DataFrame:
    """What was trained, and what is predicted at twice the widest."""
    ranking, laws, first = (
        shown.table(RANKING),
        shown.table(PREDICTIONS),
        shown.spec.matched_levels[0],
    )
    own = (ranking["recipe"] == shown.recipe) & (ranking["l0"] == first) & ranking["r2"].notna()
    named = [recipe_name(shown.recipe) in recipes.split() for recipes in laws["recipes"]]
    wider = laws[pd.Series(named, laws.index, dtype=bool) & (laws["kind"] == "wider")]
    columns = ["model", "hookpoint", "variant", "width", "r2"]
    parts = [
        part[columns].assign(predicted=predicted)
        for part, predicted in ((ranking[own], False), (wider, True))
    ]
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(recipe=shown.recipe, error=1 - rows["r2"])
