"""Columns that tables for readers share."""

from __future__ import annotations

from pipeline.analysis.numbers import share, signed, times, variant_label
from pipeline.analysis.pages import Column
from pipeline.study.training import DEFAULT_RECIPE


def recipe(name: str) -> str:
    return name or DEFAULT_RECIPE


def percent(value: float) -> str:
    return f"{value:.0%}"


def whole(value: float) -> str:
    return f"{value:,.0f}"


PLACE = (Column("model", "Model"), Column("hookpoint", "Hookpoint"))
RECIPE = Column("recipe", "Recipe", recipe)
SWEEP = (*PLACE, Column("variant", "Variant", variant_label), RECIPE, Column("width", "H"))
CELL = (*SWEEP, Column("lam", "λ", "{:g}".format), Column("k", "k"), Column("seed", "Seed"))
SIDES = tuple(
    column
    for side, name in (("candidate", "Candidate"), ("baseline", "Baseline"))
    for column in (
        Column(f"{side}_variant", name, variant_label),
        Column(f"{side}_width", f"{name} H"),
    )
)
METRICS = (
    *(Column("l0", "L0"), Column("r2", "R2"), Column("dead_fraction", "Dead")),
    *(Column("loss_recovered", "Loss Recovered"), Column("lr_noisy", "Noise")),
)
DOMINANCE = (
    *(Column("overlap_lo", "L0 from"), Column("overlap_hi", "to")),
    *(Column("dominates", "Dominates"), Column("p_dominance", "P(dominance)", share)),
    *(Column("min_gap", "Smallest gap", signed), Column("min_gap_l0", "at L0")),
    *(Column("mean_gap", "Mean gap", signed), Column("overlap_reason", "Why not")),
)
FEWER_DEAD = (
    *(Column("dead_reduction", "Fewer dead", times), Column("dead_floored", "floored")),
    *(Column("dead_points", "of points"), Column("dead_left_out", "left out")),
)
COLLAPSED = Column("collapsed", "Collapsed")
GAP = "Candidate minus baseline over the L0 that both reach; ± is one standard error over seeds."
