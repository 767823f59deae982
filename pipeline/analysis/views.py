"""What readers see of each table: its columns, declared once, and what it is cut into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.analysis.columns import (
    CELL,
    COLLAPSED,
    DOMINANCE,
    FEWER_DEAD,
    GAP,
    METRICS,
    PLACE,
    SIDES,
    SWEEP,
    percent,
    recipe,
    whole,
)
from pipeline.analysis.numbers import matched_column, share, signed, times, variant_label
from pipeline.analysis.pages import Column
from pipeline.analysis.tables.dominance import NO_RANGE, YES
from pipeline.analysis.tables.effects import EFFECTS
from pipeline.study import outputs
from pipeline.study.dial import RANDOM
from pipeline.study.scope import SWEPT


@dataclass(frozen=True, kw_only=True)
class View:
    """How a table is shown."""

    title: str
    columns: tuple[Column, ...]
    by: tuple[str, ...] = ()
    """Columns that cut it into tables of their own, in whose titles their values stand."""
    reads: str = ""
    """How to read it."""
    prepare: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    """Makes of the CSV the table whose columns are shown."""
    matched: bool = False
    """Whether it has columns for each matched L0 as comparison.csv does."""


def matched_columns(levels: Sequence[float]) -> tuple[Column, ...]:
    """Of each matched L0: both sides, metric by metric, and why there is no value."""
    return tuple(
        column
        for l0 in levels
        for column in (
            *(
                Column(matched_column(l0, metric, side), f"{label} at {l0:g}, {side}")
                for metric, label in SWEPT.items()
                for side in ("candidate", "baseline")
            ),
            Column(f"l0_{l0:g}_reason", f"No value at {l0:g}"),
        )
    )


def _quantities(table: pd.DataFrame) -> pd.DataFrame:
    """A row per sweep, with a column per quantity and its error."""
    keys = ["model", "hookpoint", "variant", "recipe", "width"]
    wide = table.pivot_table(
        index=keys, columns="quantity", values=["mean", "se"], sort=False, dropna=False
    ).dropna(how="all")
    named = [tuple(map(str, pair)) for pair in wide.columns.to_flat_index()]
    wide.columns = pd.Index([name + {"mean": "", "se": "_se"}[kind] for kind, name in named])
    return wide.reset_index()


def _no_random(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["kind"] != RANDOM]


def _over_labels(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["kind"] == "all"]


def _counts(table: pd.DataFrame) -> pd.DataFrame:
    """On how many pairs each sweep dominates each: a matrix under each recipe."""
    parts = []
    for name, rows in table.groupby("recipe", sort=False):
        able = rows.assign(able=rows["outcome"] != NO_RANGE, won=rows["outcome"] == YES)
        sums = able.groupby(["series", "against_series"], sort=False)[["won", "able"]].sum()
        text = sums["won"].astype(str) + "/" + sums["able"].astype(str)
        wide = text.unstack("against_series").reset_index().assign(recipe=name)
        parts.append(wide.fillna(""))
    return pd.concat(parts) if parts else table


def _by_setting(table: pd.DataFrame) -> pd.DataFrame:
    """A row per claim, a column per setting: its outcome, and the factors on which it hangs."""
    hangs = table["hangs_on"].map(lambda names: f" ({names})" if names else "")
    settings = (table["recipe"].map(recipe) + " " + table["widths"]).str.strip()
    named = table.assign(setting=settings, told=table["outcome"] + hangs)
    wide = named.pivot_table(
        index=["claim", "statement"], columns="setting", values="told", aggfunc="first", sort=False
    )
    return wide.reset_index()


HEADS = {
    "bipolar_fraction": "Two-sided",
    "bipolar_firing_share": "by firing",
    "minority_share_median": "Median minority share",
    "top1_bipolar_fraction": "Two-sided, top 1 %",
    "top10_bipolar_fraction": "top 10 %",
    "top1_minority_share": "Minority share, top 1 %",
    "slope_positive_median": "Slope, z > 0",
    "slope_negative_median": "z < 0",
}
VIEWS = {
    outputs.CELLS: View(title="Cells", columns=(*CELL, *METRICS, COLLAPSED)),
    outputs.POINTS: View(
        title="Sweep points",
        reads="Means over seeds, or one seed where they lie far apart in L0; ± is one standard "
        "error over seeds.",
        columns=(*CELL[:-1], Column("seeds", "Seeds"), CELL[-1], *METRICS, COLLAPSED),
    ),
    outputs.COMPARISON: View(
        title="Comparisons",
        reads=GAP,
        by=("comparison", "recipe"),
        columns=(*PLACE, *SIDES, *DOMINANCE, *FEWER_DEAD, COLLAPSED),
        matched=True,
    ),
    outputs.BY_SOURCE: View(
        title="Comparisons on each source of text",
        reads=GAP,
        by=("comparison", "recipe"),
        columns=(*PLACE, Column("source", "Source"), *SIDES, *DOMINANCE),
    ),
    outputs.CONTRASTS: View(
        title="Tying, ablations, width",
        reads="Candidate minus baseline at equal lambda and seed, then over the L0 that both "
        "reach.",
        by=("kind", "recipe"),
        columns=(
            *(*PLACE, *SIDES, Column("pairs", "Runs"), Column("r2_delta_abs", "Mean |ΔR2|")),
            *(Column("r2_delta", "ΔR2", signed), Column("l0_delta", "ΔL0", signed)),
            Column("dead_fraction_delta", "ΔDead", signed),
            Column("loss_recovered_delta", "ΔLoss Recovered", signed),
            *(Column("dominates", "Dominates"), Column("mean_gap", "Mean gap", signed)),
            *(Column(f"{s}_collapsed", f"Collapsed, {s}") for s in ("candidate", "baseline")),
        ),
    ),
    outputs.LATENTS: View(
        title="Latents that fire with both signs",
        columns=(*SWEEP, *(Column(name, heading) for name, heading in HEADS.items())),
        prepare=_quantities,
    ),
    outputs.PARAMETERS: View(
        title="Parameter accounting",
        columns=(
            *(*SWEEP, Column("parameters", "Parameters", whole)),
            *(Column("parameters_per_latent", "a latent"), Column("two_sided_share", "Two-sided")),
            Column("break_even_share", "Break-even share"),
            Column("gated_equivalent_width", "Gated equivalent H", whole),
        ),
    ),
    outputs.SOURCES: View(
        title="By source of text",
        by=("model", "hookpoint"),
        columns=(*CELL[2:], Column("source", "Source"), Column("share", "Share"), *METRICS),
    ),
    outputs.EFFECTS: View(
        title="Effects under each setting",
        reads="Each effect is an advantage of half-width SA-GSAE over full-width Gated: above "
        "zero it is better. ± is one standard error over seeds.",
        by=("recipe", "widths"),
        columns=(
            *(*PLACE, Column("dominates", "Dominates")),
            *(Column(name, words, signed) for name, words in EFFECTS.items()),
            *(Column(f"dead_{s}", f"Dead, {s}") for s in ("candidate", "baseline")),
            COLLAPSED,
        ),
    ),
    outputs.MAIN_EFFECTS: View(
        title="What moves each effect",
        reads="A row of two levels is the mean difference between points of one model and "
        "hookpoint that differ in that factor and in no other. Means and spreads leave out points "
        "with collapsed cells; the median, the least and the most are over all.",
        by=("measure",),
        columns=(
            *(Column("factor", "Factor"), Column("together_with", "together with")),
            *(Column("against", "From"), Column("level", "Level"), Column("points", "Points")),
            *(Column("mean", "Mean", signed), Column("sd", "Spread")),
            *(Column(name, name.capitalize(), signed) for name in ("median", "least", "most")),
            Column("with_collapses", "Collapsed"),
        ),
    ),
    outputs.DIAL: View(
        title="Causal dial",
        reads="The effect is the change of the logit difference between the tokens that positive "
        "and those that negative sizes promote most, at the extreme sizes; the CSV has random "
        "directions and the tokens, too.",
        by=("recipe", "model", "hookpoint", "comparison"),
        columns=(
            *(Column("kind", "Along"), Column("variant", "Variant", variant_label)),
            *(Column("seed", "Seed"), Column("latent_plus", "Latent"), Column("latent_minus", "−")),
            *(Column("monotone", "Steps up", percent), Column("symmetry", "Weaker / stronger")),
            *(Column("effect_minus", "Effect −", signed), Column("effect_plus", "+", signed)),
            *(Column("times_random", "Over random", times), Column("dial", "Dial")),
        ),
        prepare=_no_random,
    ),
    outputs.PROBING: View(
        title="Sparse probing",
        reads="Accuracy of a probe on k sides of a code over all labels; 0.5 is chance. Beside: "
        "the best k coordinates of the activation, and the whole of it.",
        by=("recipe", "model", "hookpoint"),
        columns=(
            *(*CELL[2:6], Column("cell_k", "k of the cell"), Column("l0", "L0"), Column("k", "k")),
            *(Column("accuracy", "Accuracy"), Column("latents", "Latents")),
            *(Column("neurons", "Coordinates"), Column("dense", "Whole")),
        ),
        prepare=_over_labels,
    ),
    outputs.ABSORPTION: View(
        title="Feature absorption",
        reads="Of first letters, means over the letters that could be judged; less is better.",
        columns=(
            *(*CELL[:6], Column("cell_k", "k of the cell"), Column("l0", "L0")),
            *(Column("labels", "Letters"), Column("fraction", "Fraction"), Column("full", "Full")),
        ),
    ),
    outputs.RANKING: View(
        title="All against all",
        reads="Ranks by R2 at one L0, read off each frontier. Best and worst count only sweeps "
        "that differ by more than two standard errors.",
        by=("recipe", "model", "hookpoint", "l0"),
        columns=(
            *(Column("series", "Sweep"), Column("rank", "Rank"), Column("of", "of")),
            *(Column("best_rank", "Best"), Column("worst_rank", "Worst"), Column("r2", "R2")),
            *(METRICS[3], METRICS[2], Column("accuracy_1", "Accuracy, k = 1")),
            *(Column("absorption", "Absorption"), Column("parameters", "Parameters", whole)),
            Column("tokens_per_second", "Training tokens/s", whole),
            *(Column("error_from", "Error from"), Column("rank_reason", "Why not"), COLLAPSED),
        ),
    ),
    outputs.RANKING_SUMMARY: View(
        title="Mean ranks",
        reads="Of the sweeps that are ranked at every pair of model and hookpoint, among these. "
        "The interval holds 95 % of the means over pairs that are drawn anew.",
        by=("recipe", "l0"),
        columns=(
            *(Column("series", "Sweep"), Column("mean_rank", "Mean rank", "{:.1f}".format)),
            *(Column("of", "of"), Column("low", "From"), Column("high", "to")),
            *(Column("first", "First"), Column("pairs", "Pairs"), Column("unranked", "Not ranked")),
        ),
    ),
    outputs.DOMINANCE: View(
        title="Which sweep dominates which",
        reads="2/5: the row strictly dominates the column on two of the five pairs of model and "
        "hookpoint at which both reach some L0. The CSV has the gaps.",
        by=("recipe",),
        columns=(),
        prepare=_counts,
    ),
    outputs.SIDES: View(
        title="Two sides at half the width",
        reads="Two sides minus one. The rows without a model are over all pairs.",
        by=("recipe", "l0"),
        columns=(
            *(Column("series", "Two-sided form"), *PLACE),
            Column("r2_difference", "R2 difference", signed),
            Column("loss_recovered_difference", "Loss Recovered difference", signed),
            *(Column("dead_candidate", "Dead"), Column("dead_baseline", "Dead, one side")),
            *(Column("min_gap", "Smallest gap", signed), Column("mean_gap", "Mean gap", signed)),
            *(Column("outcome", "Dominates"), Column("positive", "Above 0"), Column("pairs", "of")),
            Column("sign_p", "p of the sign test", share),
        ),
    ),
    outputs.CLAIMS_MATRIX: View(
        title="Claims under all settings",
        reads="A column for each setting: a recipe, and the widths compared. In brackets the "
        "factors on which a verdict hangs: another level of that factor alone turns it. The "
        "settings are no sample and not fully crossed.",
        columns=(),
        prepare=_by_setting,
    ),
    outputs.CLAIMS: View(
        title="Claims of the paper",
        reads="± is one standard error: over seeds for means, from a bootstrap over seeds for "
        "gaps.",
        by=("recipe", "widths"),
        columns=(
            *(Column("statement", "Claim"), Column("paper", "Paper"), Column("source", "Source")),
            *(Column("here", "This study"), Column("outcome", "Outcome"), Column("why", "Remark")),
            Column("reference", "Reference study"),
        ),
    ),
}
