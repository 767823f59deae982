"""comparison.csv: one row per (comparison, recipe, model, hookpoint): everything at equal L0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from pipeline.analysis.numbers import matched_column, sweep_label, variant_label
from pipeline.analysis.tables.sweeps import (
    Metrics,
    Side,
    named_collapses,
    sweeps_of,
    sweeps_under,
    with_se,
)
from pipeline.study.grid import Comparison
from pipeline.study.scope import SWEPT, Scope
from sagsae.autoencoders.registry import equal_knobs_compare
from sagsae.comparison import dominance, matched, overlap
from sagsae.dead_latents import DeadReduction, dead_reduction
from sagsae.sweeps import Sweep

SIDES = ("candidate", "baseline")
ANSWERS = (
    *("candidate_seeds", "baseline_seeds", "overlap_lo", "overlap_hi", "overlap_reason"),
    *("dominates", "p_dominance", "p_reason", "min_gap", "min_gap_se", "min_gap_l0"),
    *("mean_gap", "mean_gap_se", "max_gap"),
    *("dead_reduction", "dead_ceiling", "dead_floored", "dead_points"),
    *("dead_left_out", "dead_reason", "lr_noisy", "collapsed"),
)
"""Columns of tables that do not depend on the matched L0 asked for. ``answer`` has more."""
ASKED = tuple(f"{side}_{what}" for side in SIDES for what in ("variant", "width"))
QUESTION = ("recipe", "model", "hookpoint", *ASKED)


def comparison_table(metrics: Metrics, spec: Scope) -> pd.DataFrame:
    """One row per (comparison, recipe, model, hookpoint), recipes and models by name.

    Of several recipes, one under which neither side of a comparison is trained has no rows of it:
    they would repeat those of another recipe.
    """
    sweeps, noisy = sweeps_of(metrics), noisy_places(metrics)
    under = {recipe: sweeps_under(recipe, sweeps, spec) for recipe in spec.trained}
    rows = []
    for number, item in enumerate(spec.comparisons, start=1):
        for recipe, found in under.items():
            questions = list(_questions(item, recipe, spec))
            own = {side for side in found if spec.home(recipe, side[2]) == recipe}
            if spec.several and not any(own & set(_sides(one)) for one in questions):
                continue
            for question in questions:
                place = question["model"], question["hookpoint"]
                row = {"comparison": number, **question, "lr_noisy": place in noisy}
                rows.append(row | answer(found, question, item.matched_l0))
    asked = [column for l0 in spec.matched_levels for column in matched_columns(l0)]
    return pd.DataFrame(rows, columns=["comparison", *QUESTION, *ANSWERS, *asked])


def noisy_places(metrics: Metrics) -> set[tuple[str, str]]:
    """(model, hookpoint) where Loss Recovered is noise."""
    return {(cell.model, cell.hookpoint) for cell, found in metrics.items() if found.lr_noisy}


def _questions(item: Comparison, recipe: str, spec: Scope) -> Iterator[dict[str, Any]]:
    for model, hookpoint in spec.trained[recipe]:
        row: dict[str, Any] = {"recipe": recipe, "model": model, "hookpoint": hookpoint}
        for side, sweep in zip(SIDES, (item.candidate, item.baseline), strict=True):
            width = sweep.width_for(spec.models[model])
            row |= {f"{side}_variant": sweep.variant, f"{side}_width": width}
        yield row


def _sides(question: dict[str, Any]) -> list[Side]:
    place = question["model"], question["hookpoint"]
    return [(*place, question[f"{side}_variant"], question[f"{side}_width"]) for side in SIDES]


def matched_columns(l0: float) -> list[str]:
    """Columns of one matched L0: both sides with their errors, metric by metric, and a reason."""
    values = [matched_column(l0, metric, side) for metric in SWEPT for side in SIDES]
    return [*(column for value in values for column in (value, f"{value}_se")), f"l0_{l0:g}_reason"]


def answer(
    sweeps: dict[Side, Sweep], question: dict[str, Any], matched_l0: Sequence[float]
) -> dict[str, Any]:
    """Columns that answer one question from the sweeps under its recipe; a side that they lack
    leaves a reason."""
    keys = _sides(question)
    missing = [sweep_label(*key[2:]) for key in keys if key not in sweeps]
    if missing:
        reason = f"the grid has no {' and no '.join(missing)} here"
        none = dict.fromkeys(("dead_floored", "dead_points", "dead_left_out"), 0)
        return {"overlap_reason": reason} | none
    candidate, baseline = (sweeps[key] for key in keys)
    shared, verdict = overlap(candidate, baseline), dominance(candidate, baseline)
    dead = _dead_at_equal_knobs(candidate, baseline, question)
    row: dict[str, Any] = {
        "candidate_seeds": candidate.seeds,
        "baseline_seeds": baseline.seeds,
        **{f"overlap_{name}": value for name, value in vars(shared).items()},
        **vars(verdict),
        **vars(verdict.bootstrap),
        "overlap_reason": verdict.reason,
        "p_dominance": verdict.bootstrap.probability,
        "p_reason": verdict.bootstrap.reason,
        **{f"dead_{name}": value for name, value in vars(dead).items()},
        "dead_reduction": dead.factor,
        "collapsed": named_collapses([candidate, baseline]),
    }
    for l0 in matched_l0:
        row |= _matched(candidate, baseline, l0)
    return row


def _dead_at_equal_knobs(
    candidate: Sweep, baseline: Sweep, question: dict[str, Any]
) -> DeadReduction:
    """Fewer dead latents at equal lambda or k, where these mean the same on both sides."""
    variants = [question[f"{side}_variant"] for side in SIDES]
    if equal_knobs_compare(*variants):
        return dead_reduction(candidate, baseline)
    names = " and ".join(map(variant_label, variants))
    return DeadReduction(reason=f"an equal lambda or k means different things to {names}")


def _matched(candidate: Sweep, baseline: Sweep, l0: float) -> dict[str, Any]:
    row: dict[str, Any] = {}
    reasons = []
    for metric in SWEPT:
        found = matched(candidate, baseline, metric, l0)
        for side, estimate in zip(SIDES, (found.candidate, found.baseline), strict=True):
            row |= with_se(matched_column(l0, metric, side), estimate)
        reasons.append(found.reason)
    return row | {f"l0_{l0:g}_reason": "; ".join(dict.fromkeys(filter(None, reasons)))}
