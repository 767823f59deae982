"""comparison.csv: one row per (comparison, recipe, model, hookpoint): everything at equal L0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.analysis.columns import DOMINANCE, Column
from pipeline.analysis.columns import SIDES as BOTH
from pipeline.analysis.numbers import matched_column, sweep_label, times, variant_label
from pipeline.analysis.table import Table
from pipeline.analysis.tables.sweeps import Metrics, Sweeps, collapses, joined, sweeps_of, with_se
from pipeline.study.cell import SweepKey
from pipeline.study.scope import SWEPT, Scope
from sagsae.autoencoders.registry import equal_knobs_compare
from sagsae.comparison.dead_latents import DeadReduction, dead_reduction
from sagsae.comparison.dominance import dominance, matched, overlap

SIDES = ("candidate", "baseline")
# Which sweeps are compared, and where.
QUESTION = ["recipe", "model", "hookpoint", *BOTH.split()]
# What does not depend on the matched L0 asked for.
ANSWERS = (
    "candidate_seeds baseline_seeds overlap_lo overlap_hi overlap_reason dominates p_dominance "
    "p_reason min_gap min_gap_se min_gap_l0 mean_gap mean_gap_se max_gap dead_reduction "
    "dead_ceiling dead_floored dead_points dead_left_out dead_reason collapsed"
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


def answers(spec: Scope) -> list[str]:
    """The columns that compare two sweeps, those of each matched L0 with standard errors."""
    columns = ANSWERS.split()
    for name in (column.name for column in matched_shown(spec)):
        columns += [name] if name.endswith("_reason") else [name, f"{name}_se"]
    return columns


COMPARISON = Table(
    "comparison",
    "Comparisons",
    reads=GAP,
    by=["comparison recipe"],
    columns=[
        f"model hookpoint {BOTH} {DOMINANCE}",
        Column("dead_reduction", "Fewer dead", times),
        "collapsed",
        matched_shown,
    ],
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
            trained = {key for pair in pairs for key in pair if key.recipe == recipe}
            if not spec.several or not sweeps.keys().isdisjoint(trained):
                answered = (compared(sweeps, recipe, *pair, item.matched_l0) for pair in pairs)
                rows += [{"comparison": number} | row for row in answered]
    return pd.DataFrame(rows, columns=["comparison", *QUESTION, *answers(spec)])


def compared(
    sweeps: Sweeps, recipe: str, candidate: SweepKey, baseline: SweepKey, levels: Sequence[float]
) -> dict[str, Any]:
    """A row that compares two sweeps under a recipe, at some matched L0 too. A sweep that is not
    there leaves a reason."""
    keys = candidate, baseline
    asked = (recipe, *candidate[:2], *(end for key in keys for end in (key.variant, key.width)))
    row: dict[str, Any] = dict(zip(QUESTION, asked, strict=True))
    if missing := [sweep_label(key.variant, key.width) for key in keys if key not in sweeps]:
        row |= dict.fromkeys(("dead_floored", "dead_points", "dead_left_out"), 0)
        return row | {"overlap_reason": f"the grid has no {' and no '.join(missing)} here"}
    sides = sweeps[candidate], sweeps[baseline]
    verdict = dominance(*sides)
    if equal_knobs_compare(candidate.variant, baseline.variant):
        dead = dead_reduction(*sides)
    else:
        names = " and ".join(variant_label(key.variant) for key in keys)
        dead = DeadReduction(reason=f"an equal lambda or k means different things to {names}")
    row |= {f"{name}_seeds": side.seeds for name, side in zip(SIDES, sides, strict=True)}
    row |= {f"overlap_{name}": value for name, value in vars(overlap(*sides)).items()}
    row |= {f"dead_{name}": value for name, value in vars(dead).items()}
    row |= vars(verdict) | vars(verdict.bootstrap)
    row |= {"overlap_reason": verdict.reason, "p_reason": verdict.bootstrap.reason}
    row |= {"p_dominance": verdict.bootstrap.probability, "dead_reduction": dead.factor}
    row["collapsed"] = joined(collapses(*sides).values())
    for l0 in levels:
        values = {metric: matched(*sides, metric, l0) for metric in SWEPT}
        for metric, value in values.items():
            for side in SIDES:
                row |= with_se(matched_column(l0, metric, side), getattr(value, side))
        row[f"l0_{l0:g}_reason"] = joined(value.reason for value in values.values())
    return row
