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

from pipeline.analysis.columns import SIDES as BOTH
from pipeline.analysis.columns import Column, named, text
from pipeline.analysis.numbers import matched_column, signed
from pipeline.analysis.table import Table
from pipeline.analysis.tables.comparison import SIDES
from pipeline.analysis.tables.sweeps import Metrics, sweeps_of
from pipeline.study.recipes import VARIANT_FACTOR
from pipeline.study.scope import Scope
from pipeline.study.settings import Factor
from sagsae.comparison.dead_latents import (
    dead_reduction,
    dead_reduction_at_equal_l0,
    error_over_seeds,
)
from sagsae.comparison.sweeps import Sweep

# Columns that are effects -> their names in words. ``<column>_se`` is the standard error.
EFFECTS = {
    "min_gap": "Smallest R² gap",
    "mean_gap": "Mean R² gap",
    "dead_drop": "Dead fraction lower by",
    "equal_l0_log10": "Fewer dead at equal L0, log10 of the factor",
    "dead_log10": "Fewer dead at equal lambda, log10 of the factor",
}
DEAD = ["dead_candidate", "dead_candidate_se", "dead_baseline", "dead_baseline_se"]
# What names a point; what follows the levels of its factors: of comparison.csv, then of dead
# latents at the first matched L0, at equal lambda and at equal L0.
POINT = ["comparison", "recipe", "model", "hookpoint"]
PLACE = ["comparison", "recipe", "widths", "model", "hookpoint"]
COLUMNS = (
    f"{BOTH} candidate_seeds baseline_seeds overlap_lo overlap_hi overlap_reason dominates "
    "p_dominance min_gap min_gap_se mean_gap mean_gap_se matched_l0 dead_candidate "
    "dead_candidate_se dead_baseline dead_baseline_se dead_drop dead_drop_se matched_reason "
    "dead_reduction dead_log10 dead_log10_se dead_ceiling dead_points dead_floored dead_left_out "
    "dead_reason equal_l0_reduction equal_l0_log10 equal_l0_log10_se equal_l0_ceiling "
    "equal_l0_points equal_l0_floored equal_l0_left_out equal_l0_reason candidate_collapsed "
    "baseline_collapsed collapsed"
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

    Columns:
        min_gap, mean_gap: smallest and mean gap of R2
        dead_drop: dead fraction of Gated minus that of the sign-aware side, at the first matched L0
        dead_log10: log10 of the factor by which fewer latents are dead, at equal lambda
        equal_l0_log10: the same at equal L0
        level_*: level of each factor of the setting
    """
    sweeps, rows = sweeps_of(metrics), []
    by_point = comparison.set_index(POINT, drop=False)
    for setting in spec.compared:
        number, l0 = setting.comparison or 0, spec.first_level(setting)
        levels = {factor.column: factor.levels[setting] for factor in spec.factors}
        for place in spec.places(setting):
            row = dict(by_point.loc[[(number, setting.recipe, *place)]].iloc[0])
            keys = spec.sides(spec.comparisons[number - 1], setting.recipe, *place)
            row |= {"widths": setting.widths, **levels, "matched_l0": l0}
            row["matched_reason"] = row[f"l0_{l0:g}_reason"]
            for side, key in zip(SIDES, keys, strict=True):
                column = matched_column(l0, "dead_fraction", side)
                row |= {f"dead_{side}": row[column], f"dead_{side}_se": row[f"{column}_se"]}
                row[f"{side}_collapsed"] = len(sweeps[key].collapsed)
            rows.append(row | _of_reductions(*(sweeps[key] for key in keys)))
    table = pd.DataFrame(rows)
    dead = table[[*DEAD, "dead_reduction", "equal_l0_reduction"]].astype(float)
    table = table.assign(
        dead_drop=dead["dead_baseline"] - dead["dead_candidate"],
        dead_drop_se=np.hypot(dead["dead_candidate_se"], dead["dead_baseline_se"]),
        dead_log10=np.log10(dead["dead_reduction"]),
        equal_l0_log10=np.log10(dead["equal_l0_reduction"]),
    )
    return table[[*PLACE, *levels, *COLUMNS.split()]]


def _of_reductions(*sides: Sweep) -> dict[str, Any]:
    """How many times fewer latents are dead at equal L0, and errors of both reductions."""
    reduction = dead_reduction_at_equal_l0(*sides)
    row = {f"equal_l0_{name}": value for name, value in vars(reduction).items()}
    row |= {"dead_log10_se": error_over_seeds(dead_reduction, *sides)}
    row |= {"equal_l0_log10_se": error_over_seeds(dead_reduction_at_equal_l0, *sides)}
    return row | {"equal_l0_reduction": reduction.factor}


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
    when=SETTINGS.when,
)
# The level under which the mean of the effect itself stands.
VARIANT_LEVEL = "SA-GSAE against Gated"


@MAIN.made_from("cells")
def main_effect_table(effects: pd.DataFrame, spec: Scope) -> Iterator[dict[str, Any]]:
    """One row per (effect, factor, level), and per (effect, factor, two levels).

    ``against`` is empty in a row of a level's mean. In others, ``points`` counts pairs of points
    and ``mean`` is the effect at ``level`` minus that ``against``. ``with_collapses`` counts
    points, or pairs, in which a cell collapsed; no effect rests on that cell. Factor ``variant`` is
    the effect itself over all points. Points that lack an effect are left out of it.

    Args:
        effects: effects.csv.
        spec: Has the factors of its columns ``level_*``, with the order of their levels.
    """
    for effect in EFFECTS:
        known = effects[effects[effect].notna()]
        points = known.assign(value=known[effect], fallen=known["collapsed"] != "")
        row = {"measure": effect, "factor": VARIANT_FACTOR, "together_with": ""}
        yield row | {"level": VARIANT_LEVEL, "against": ""} | _summary(points)
        for factor in spec.factors:
            row |= {"factor": factor.name, "together_with": "; ".join(factor.together_with)}
            columns = [other.column for other in spec.factors if other is not factor]
            for moved in _of_factor(points, factor, ["model", "hookpoint", *columns]):
                yield row | moved


def _of_factor(points: pd.DataFrame, factor: Factor, others: list[str]) -> Iterator[dict[str, Any]]:
    """A row per level of a factor, and per two of its levels over points of equal ``others``."""
    at = {level: points[points[factor.column] == level] for level in factor.ordered}
    levels = [level for level, here in at.items() if len(here)]
    for level in levels:
        yield {"level": level, "against": ""} | _summary(at[level])
    for against, level in combinations(levels, 2):
        pairs = at[level].merge(at[against], on=others, suffixes=("", "_against"))
        if len(pairs):
            fallen = pairs["fallen"] | pairs["fallen_against"]
            change = pairs.assign(value=pairs["value"] - pairs["value_against"], fallen=fallen)
            yield {"level": level, "against": against} | _summary(change)


def _summary(points: pd.DataFrame) -> dict[str, Any]:
    """What ``value`` is over some points; the mean is empty for none, the standard deviation for
    one."""
    value = points["value"]
    return {
        "points": len(points),
        "mean": value.mean(),
        "sd": value.std(),
        "median": value.median(),
        "least": value.min(),
        "most": value.max(),
        "with_collapses": int(points["fallen"].sum()),
    }
