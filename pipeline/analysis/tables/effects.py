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
from pipeline.analysis.tables.sweeps import Metrics, sweeps_of
from pipeline.study.scope import Scope
from sagsae.dead_latents import dead_reduction_at_equal_l0, reduction_errors
from sagsae.sweeps import Sweep

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
