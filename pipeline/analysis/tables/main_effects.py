"""main_effects.csv: how much each factor moves each effect, beside the variant's own effect.

A point is a row of effects.csv. The design is not fully crossed, so a factor has two numbers:

- of each level, the mean over **all** points that have it, whatever else they have. Two such means
  differ in what else their points have, too;
- of each two levels, the mean of the **paired** difference: over pairs of points of one model and
  hookpoint that differ in this factor and in no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pandas as pd

from pipeline.analysis.tables.effects import EFFECTS
from pipeline.study.recipes import VARIANT_FACTOR
from pipeline.study.settings import Factor

# ``against`` is empty in a row of a level's mean. In others, ``points`` counts pairs of points and
# ``mean`` is the effect at ``level`` minus that ``against``. ``with_collapses`` counts points, or
# pairs, in which a cell collapsed: ``mean`` and ``sd`` leave them out, since R2 of a run that
# diverged may be any number. ``median``, ``least`` and ``most`` are over all.
COLUMNS = (
    *("measure", "factor", "together_with", "level", "against", "points", "mean", "sd"),
    *("median", "least", "most", "with_collapses"),
)
# The level under which the mean of the effect itself stands.
VARIANT_LEVEL = "SA-GSAE against Gated"
SAME = ("model", "hookpoint")


def main_effect_table(effects: pd.DataFrame, factors: list[Factor]) -> pd.DataFrame:
    """One row per (effect, factor, level), and per (effect, factor, two levels).

    Factor ``variant`` is the effect itself over all points. Points that lack an effect are left out
    of it.

    Args:
        effects: effects.csv.
        factors: Those of its columns ``level_*``, with the order of their levels.
    """
    rows: list[dict[str, Any]] = []
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
    return pd.DataFrame(rows, columns=list(COLUMNS)).fillna({"together_with": "", "against": ""})


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
    sound = values[~fallen]
    return {
        "points": len(values),
        "mean": sound.mean(),
        "sd": sound.std(),
        "median": values.median(),
        "least": values.min(),
        "most": values.max(),
        "with_collapses": int(fallen.sum()),
    }
