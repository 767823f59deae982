"""effects.csv: what SA-GSAE changes against Gated of twice its width, a row per setting and pair.

A setting is a recipe and a pair of widths; a pair is a model and a hookpoint. Every effect is the
candidate's advantage: above zero it is better. What comparison.csv has is taken from there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.numbers import matched_column
from pipeline.analysis.tables.comparison import ASKED, SIDES
from pipeline.analysis.tables.sweeps import Metrics, Side, sweeps_of, sweeps_under
from pipeline.study.scope import Scope
from pipeline.study.settings import Setting
from sagsae.dead_latents import dead_reduction_at_equal_l0, reduction_errors
from sagsae.sweeps import Sweep

EFFECTS = {
    "min_gap": "Smallest R2 gap",
    "mean_gap": "Mean R2 gap",
    "dead_drop": "Dead fraction lower by",
    "equal_l0_log10": "Fewer dead at equal L0, log10 of the factor",
    "dead_log10": "Fewer dead at equal lambda, log10 of the factor",
}
"""Columns that are effects -> their names in words. ``<column>_se`` is the standard error."""
PLACE = ("comparison", "recipe", "widths", "model", "hookpoint")
_TAKEN = (
    *("candidate_seeds", "baseline_seeds", "overlap_lo", "overlap_hi", "overlap_reason"),
    *("dominates", "p_dominance", "min_gap", "min_gap_se", "mean_gap", "mean_gap_se"),
)
_REDUCTION = (
    "reduction",
    "log10",
    "log10_se",
    "ceiling",
    "points",
    "floored",
    "left_out",
    "reason",
)
_DEAD = tuple(
    f"dead_{what}{end}" for what in (*SIDES, "drop") for end in ("", "_se")
)  # at the first matched L0
COLUMNS = (
    *(*_TAKEN, "matched_l0", *_DEAD, "matched_reason"),
    *(f"{how}_{what}" for how in ("dead", "equal_l0") for what in _REDUCTION),
    *(f"{side}_collapsed" for side in SIDES),
    "collapsed",
)
"""Columns after those that say what a point is."""


def effect_table(comparison: pd.DataFrame, metrics: Metrics, spec: Scope) -> pd.DataFrame:
    """One row per (setting, model, hookpoint) that has both sides, by setting.

    Args:
        comparison: Rows of comparison.csv.
        metrics: Of the study's cells.
        spec: Has the settings and their factors.
    """
    sweeps, rows = sweeps_of(metrics), []
    levels = [factor.column for factor in spec.factors]
    for setting in spec.compared:
        found = sweeps_under(setting.recipe, sweeps, spec)
        own = {factor.column: factor.levels[setting] for factor in spec.factors}
        asked = comparison[
            (comparison["comparison"] == setting.comparison)
            & (comparison["recipe"] == setting.recipe)
        ]
        by_place = {(row["model"], row["hookpoint"]): row for _, row in asked.iterrows()}
        for place in spec.places(setting):
            row = by_place[place]
            named = dict(zip(PLACE, (setting.comparison, *_names(setting), *place), strict=True))
            named |= {name: row[name] for name in ASKED} | own
            sides = _sides(found, place, row)
            rows.append(named | _effects(row, *sides, spec.first_level(setting)))
    return pd.DataFrame(rows, columns=[*PLACE, *levels, *ASKED, *COLUMNS])


def _names(setting: Setting) -> tuple[str, str]:
    return setting.recipe, setting.widths


def _sides(found: dict[Side, Sweep], place: tuple[str, str], row: pd.Series) -> tuple[Sweep, Sweep]:
    candidate, baseline = (
        found[(*place, row[f"{side}_variant"], row[f"{side}_width"])] for side in SIDES
    )
    return candidate, baseline


def _effects(row: pd.Series, candidate: Sweep, baseline: Sweep, l0: float) -> dict[str, Any]:
    """All effects of one row of the comparison, whose sides are these sweeps."""
    values = {name: row[name] for name in (*_TAKEN, "collapsed")}
    values |= {"matched_l0": l0, "matched_reason": row[f"l0_{l0:g}_reason"]}
    for side in SIDES:
        column = matched_column(l0, "dead_fraction", side)
        values |= {f"dead_{side}": row[column], f"dead_{side}_se": row[f"{column}_se"]}
    (few, few_se), (many, many_se) = (
        (_number(values[f"dead_{side}"]), _number(values[f"dead_{side}_se"])) for side in SIDES
    )
    values |= {"dead_drop": many - few, "dead_drop_se": np.hypot(few_se, many_se)}
    equal = dead_reduction_at_equal_l0(candidate, baseline)
    se = reduction_errors(candidate, baseline)
    by_lambda = {what: row[f"dead_{what}"] for what in _REDUCTION if f"dead_{what}" in row}
    by_l0 = {"reduction": equal.factor} | {n: v for n, v in vars(equal).items() if n != "factor"}
    for how, found, error in (("dead", by_lambda, se.by_lambda), ("equal_l0", by_l0, se.by_l0)):
        found |= {"log10": np.log10(_number(found["reduction"])), "log10_se": error}
        values |= {f"{how}_{what}": value for what, value in found.items()}
    fallen = zip(SIDES, (candidate, baseline), strict=True)
    return values | {f"{side}_collapsed": len(sweep.collapsed) for side, sweep in fallen}


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
