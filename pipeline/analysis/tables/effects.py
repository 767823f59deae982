"""effects.csv: what SA-GSAE changes against Gated of twice its width, a row per setting and pair;
main_effects.csv: how much each factor moves each effect, beside the variant's own effect.

A setting is a recipe and a pair of widths; a pair is a model and a hookpoint. Every effect is the
candidate's advantage: above zero it is better. What comparison.csv has is taken from there.

A point of main_effects.csv is a row of effects.csv. The design is not fully crossed, so a factor
has two numbers:

- of each level, the mean over **all** points that have it, whatever else they have. Two such means
  differ in what else their points have, too;
- of each two levels, the mean of the **paired** difference: over pairs of points of one model and
  hookpoint that differ in this factor and in no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.columns import Column, named, text
from pipeline.analysis.numbers import matched_column, signed
from pipeline.analysis.table import Table
from pipeline.analysis.tables.comparison import ASKED, SIDES
from pipeline.analysis.tables.sweeps import Metrics, sweeps_of
from pipeline.study.recipes import VARIANT_FACTOR
from pipeline.study.scope import Scope
from pipeline.study.settings import Factor
from sagsae.comparison.dead_latents import dead_reduction_at_equal_l0, reduction_errors
from sagsae.comparison.sweeps import Sweep

# Columns that are effects -> their names in words. ``<column>_se`` is the standard error.
EFFECTS = {
    "min_gap": "Smallest R2 gap",
    "mean_gap": "Mean R2 gap",
    "dead_drop": "Dead fraction lower by",
    "equal_l0_log10": "Fewer dead at equal L0, log10 of the factor",
    "dead_log10": "Fewer dead at equal lambda, log10 of the factor",
}
PLACE = ("comparison", "recipe", "widths", "model", "hookpoint")
# Columns that comparison.csv has as well.
TAKEN = (
    *("candidate_seeds", "baseline_seeds", "overlap_lo", "overlap_hi", "overlap_reason"),
    *("dominates", "p_dominance", "min_gap", "min_gap_se", "mean_gap", "mean_gap_se"),
)
REDUCTION = ("reduction", "log10", "log10_se", "ceiling", "points", "floored", "left_out", "reason")
# Columns after those that say what a point is.
COLUMNS = (
    *(*TAKEN, "matched_l0"),
    *(f"dead_{what}{end}" for what in (*SIDES, "drop") for end in ("", "_se")),
    "matched_reason",
    *(f"{how}_{what}" for how in ("dead", "equal_l0") for what in REDUCTION),
    *("candidate_collapsed", "baseline_collapsed", "collapsed"),
)


SETTINGS = Table(
    "effects",
    "Effects under each setting",
    reads="An effect above zero is an advantage of half-width SA-GSAE over full-width Gated.",
    by=["recipe widths"],
    columns=[
        "model hookpoint dominates",
        *(Column(name, words, signed) for name, words in EFFECTS.items()),
        "dead_candidate dead_baseline collapsed",
    ],
    texts="*_reason level_*",
    when=lambda spec: spec.has_effects,
)


@SETTINGS.made_from("cells")
def effect_table(comparison: pd.DataFrame, metrics: Metrics, spec: Scope) -> pd.DataFrame:
    """One row per (setting, model, hookpoint).

    Args:
        comparison: Rows of comparison.csv.
        metrics: Of the study's cells.
        spec: Has the settings and their factors.
    """
    sweeps, rows = sweeps_of(metrics), []
    by_point = comparison.set_index(["comparison", "recipe", "model", "hookpoint"])
    for setting in spec.compared:
        number, recipe = setting.comparison or 0, setting.recipe
        levels = {factor.column: factor.levels[setting] for factor in spec.factors}
        for place in spec.places(setting):
            row = dict(by_point.loc[[(number, recipe, *place)]].iloc[0])
            named = dict(zip(PLACE, (number, recipe, setting.widths, *place), strict=True))
            keys = spec.sides(spec.comparisons[number - 1], recipe, *place)
            found = _effects(row, sweeps[keys[0]], sweeps[keys[1]], spec.first_level(setting))
            rows.append(named | {name: row[name] for name in ASKED} | levels | found)
    levels_of = [factor.column for factor in spec.factors]
    return pd.DataFrame(rows, columns=[*PLACE, *levels_of, *ASKED, *COLUMNS])


def _effects(row: dict[Any, Any], candidate: Sweep, baseline: Sweep, l0: float) -> dict[str, Any]:
    """All effects of one row of the comparison, whose sides are these sweeps."""
    values = {name: row[name] for name in (*TAKEN, "collapsed")}
    values |= {"matched_l0": l0, "matched_reason": row[f"l0_{l0:g}_reason"]}
    for side, sweep in zip(SIDES, (candidate, baseline), strict=True):
        column = matched_column(l0, "dead_fraction", side)
        values |= {f"dead_{side}": row[column], f"dead_{side}_se": row[f"{column}_se"]}
        values[f"{side}_collapsed"] = len(sweep.collapsed)
    dead, errors = (
        np.array([values[f"dead_{side}{end}"] for side in SIDES], float) for end in ("", "_se")
    )
    values |= {"dead_drop": dead[1] - dead[0], "dead_drop_se": np.hypot(*errors)}
    values |= {name: row[name] for name in row if name.startswith("dead_")}
    equal = dead_reduction_at_equal_l0(candidate, baseline)
    se = reduction_errors(candidate, baseline)
    values |= {f"equal_l0_{name}": value for name, value in vars(equal).items()}
    values |= {"equal_l0_reduction": equal.factor}
    values |= {"dead_log10_se": se.by_lambda, "equal_l0_log10_se": se.by_l0}
    for how in ("dead", "equal_l0"):
        values[f"{how}_log10"] = np.log10(np.array(values[f"{how}_reduction"], float))
    return values


# ``against`` is empty in a row of a level's mean. In others, ``points`` counts pairs of points and
# ``mean`` is the effect at ``level`` minus that ``against``. ``with_collapses`` counts points, or
# pairs, in which a cell collapsed; no effect rests on that cell.
MAIN_COLUMNS = (
    *("measure", "factor", "together_with", "level", "against", "points", "mean", "sd"),
    *("median", "least", "most", "with_collapses"),
)
MAIN = Table(
    "main_effects",
    "What moves each effect",
    reads="A row of one level is a mean over its points. A row of two levels is the mean "
    "difference between points that differ in that factor alone.",
    by=[text("measure", form=EFFECTS.__getitem__)],
    columns=[
        *named("factor together_with level against", dtype="str"),
        "points",
        Column("mean", form=signed),
        "sd",
        *named("median least most", signed),
        "with_collapses",
    ],
    when=lambda spec: spec.has_effects,
)
# The level under which the mean of the effect itself stands.
VARIANT_LEVEL = "SA-GSAE against Gated"
SAME = ("model", "hookpoint")


@MAIN.made_from("cells")
def main_effect_table(effects: pd.DataFrame, spec: Scope) -> pd.DataFrame:
    """One row per (effect, factor, level), and per (effect, factor, two levels).

    Factor ``variant`` is the effect itself over all points. Points that lack an effect are left out
    of it.

    Args:
        effects: effects.csv.
        spec: Has the factors of its columns ``level_*``, with the order of their levels.
    """
    rows: list[dict[str, Any]] = []
    factors = spec.factors
    for effect in EFFECTS:
        known = effects[effects[effect].notna()]
        points = known.assign(value=known[effect], fallen=known["collapsed"] != "")
        whole = {"factor": VARIANT_FACTOR, "level": VARIANT_LEVEL}
        rows.append({"measure": effect} | whole | _summary(points["value"], points["fallen"]))
        for factor in factors:
            named = {"factor": factor.name, "together_with": "; ".join(factor.together_with)}
            others = [*SAME, *(other.column for other in factors if other is not factor)]
            found = _of_factor(points, factor, others)
            rows += [{"measure": effect} | named | row for row in found]
    table = pd.DataFrame(rows, columns=list(MAIN_COLUMNS))
    return table.fillna({"together_with": "", "against": ""})


def _of_factor(points: pd.DataFrame, factor: Factor, others: list[str]) -> Iterator[dict[str, Any]]:
    """A row per level of a factor, and per two of its levels over points of equal ``others``."""
    at = {level: points[points[factor.column] == level] for level in factor.ordered}
    levels = [level for level, found in at.items() if len(found)]
    for level in levels:
        yield {"level": level} | _summary(at[level]["value"], at[level]["fallen"])
    for against, level in combinations(levels, 2):
        names = [*others, "value", "fallen"]
        pairs = at[level][names].merge(at[against][names], on=others, suffixes=("", "_against"))
        if len(pairs):
            fallen = pairs["fallen"] | pairs["fallen_against"]
            difference = _summary(pairs["value"] - pairs["value_against"], fallen)
            yield {"level": level, "against": against} | difference


def _summary(values: pd.Series, fallen: pd.Series) -> dict[str, Any]:
    """Of some numbers; the mean is empty for none, the standard deviation for one."""
    return {
        "points": len(values),
        "mean": values.mean(),
        "sd": values.std(),
        "median": values.median(),
        "least": values.min(),
        "most": values.max(),
        "with_collapses": int(fallen.sum()),
    }
