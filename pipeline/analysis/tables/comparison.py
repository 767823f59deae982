"""comparison.csv: one row per (comparison, recipe, model, hookpoint): everything at equal L0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.analysis.columns import DOMINANCE, Column
from pipeline.analysis.columns import SIDES as BOTH
from pipeline.analysis.numbers import matched_column, sweep_label, times, variant_label
from pipeline.analysis.table import Table
from pipeline.analysis.tables.sweeps import (
    Metrics,
    Sweeps,
    joined_reasons,
    named_collapses,
    sweeps_of,
    with_se,
)
from pipeline.study.cell import SweepKey
from pipeline.study.scope import SWEPT, Scope
from sagsae.autoencoders.registry import equal_knobs_compare
from sagsae.comparison.dead_latents import DeadReduction, dead_reduction
from sagsae.comparison.dominance import dominance, matched, overlap

SIDES = ("candidate", "baseline")
ASKED = tuple(f"{side}_{what}" for side in SIDES for what in ("variant", "width"))
QUESTION = ("recipe", "model", "hookpoint", *ASKED)
# Columns of tables that do not depend on the matched L0 asked for. ``answer`` has more.
ANSWERS = (
    *("candidate_seeds", "baseline_seeds", "overlap_lo", "overlap_hi", "overlap_reason"),
    *("dominates", "p_dominance", "p_reason", "min_gap", "min_gap_se", "min_gap_l0"),
    *("mean_gap", "mean_gap_se", "max_gap"),
    *("dead_reduction", "dead_ceiling", "dead_floored", "dead_points"),
    *("dead_left_out", "dead_reason", "collapsed"),
)
GAP = "A gap is candidate minus baseline over the L0 that both reach; ± is one standard error."


def matched_shown(spec: Scope) -> list[Column]:
    """Columns of each matched L0 that readers see: both sides, metric by metric, and why not."""
    columns = []
    for l0 in spec.matched_levels:
        for metric, label in SWEPT.items():
            for side in SIDES:
                name = matched_column(l0, metric, side)
                columns.append(Column(name, f"{label} at {l0:g}, {side}"))
        columns.append(Column(f"l0_{l0:g}_reason", f"No value at {l0:g}"))
    return columns


FEWER_DEAD = Column("dead_reduction", "Fewer dead", times)
COMPARISON = Table(
    "comparison",
    "Comparisons",
    reads=GAP,
    by=["comparison recipe"],
    columns=["model hookpoint", BOTH, DOMINANCE, FEWER_DEAD, "collapsed", matched_shown],
    texts="p_reason dead_reason l0_*_reason",
)


@COMPARISON.made_from("cells")
def comparison_table(metrics: Metrics, spec: Scope) -> pd.DataFrame:
    """One row per (comparison, recipe, model, hookpoint), recipes and models by name.

    Of several recipes, one under which neither side of a comparison is trained has no rows of it:
    they would repeat those of another recipe.
    """
    sweeps, rows = sweeps_of(metrics), []
    for number, item in enumerate(spec.comparisons, start=1):
        for recipe, places in spec.trained.items():
            pairs = [spec.sides(item, recipe, *place) for place in places]
            own = {key for pair in pairs for key in pair if key.recipe == recipe}
            if spec.several and sweeps.keys().isdisjoint(own):
                continue
            for pair in pairs:
                row = {"comparison": number}
                rows.append(row | question(recipe, *pair) | answer(sweeps, *pair, item.matched_l0))
    columns = ["comparison", *QUESTION, *ANSWERS, *matched_columns(spec.matched_levels)]
    return pd.DataFrame(rows, columns=columns)


def question(recipe: str, candidate: SweepKey, baseline: SweepKey) -> dict[str, Any]:
    """The columns that say which two sweeps are compared, where, and under which recipe."""
    sides = (candidate.variant, candidate.width, baseline.variant, baseline.width)
    return dict(zip(QUESTION, (recipe, *candidate[:2], *sides), strict=True))


def matched_columns(levels: Sequence[float]) -> list[str]:
    """Columns of each matched L0: both sides with their errors, metric by metric, and a reason."""
    columns = []
    for l0 in levels:
        sides = [matched_column(l0, metric, side) for metric in SWEPT for side in SIDES]
        columns += [side + end for side in sides for end in ("", "_se")]
        columns.append(f"l0_{l0:g}_reason")
    return columns


def answer(
    sweeps: Sweeps, candidate: SweepKey, baseline: SweepKey, levels: Sequence[float]
) -> dict[str, Any]:
    """Columns that compare two sweeps, at some matched L0 too. A sweep that is not there leaves a
    reason."""
    keys = (candidate, baseline)
    if missing := [sweep_label(key.variant, key.width) for key in keys if key not in sweeps]:
        reason = f"the grid has no {' and no '.join(missing)} here"
        none = dict.fromkeys(("dead_floored", "dead_points", "dead_left_out"), 0)
        return {"overlap_reason": reason} | none
    sides = sweeps[candidate], sweeps[baseline]
    verdict = dominance(*sides)
    if equal_knobs_compare(candidate.variant, baseline.variant):
        dead = dead_reduction(*sides)
    else:
        names = " and ".join(variant_label(key.variant) for key in keys)
        dead = DeadReduction(reason=f"an equal lambda or k means different things to {names}")
    row: dict[str, Any] = {
        "candidate_seeds": sides[0].seeds,
        "baseline_seeds": sides[1].seeds,
        **{f"overlap_{name}": value for name, value in vars(overlap(*sides)).items()},
        **vars(verdict),
        **vars(verdict.bootstrap),
        "overlap_reason": verdict.reason,
        "p_dominance": verdict.bootstrap.probability,
        "p_reason": verdict.bootstrap.reason,
        **{f"dead_{name}": value for name, value in vars(dead).items()},
        "dead_reduction": dead.factor,
        "collapsed": named_collapses(sides),
    }
    for l0 in levels:
        found = {metric: matched(*sides, metric, l0) for metric in SWEPT}
        for metric, values in found.items():
            for side in SIDES:
                row |= with_se(matched_column(l0, metric, side), getattr(values, side))
        row[f"l0_{l0:g}_reason"] = joined_reasons(one.reason for one in found.values())
    return row
