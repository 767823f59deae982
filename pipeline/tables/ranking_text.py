"""All against all in words: ranks, dominance and sides as the tables that people read."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.tables.dominance import NO_RANGE, YES
from pipeline.text.numbers import (
    BLANK,
    Grid,
    format_number,
    share,
    signed,
    with_error,
)

RANKS = (
    "Every sweep is ranked by R2 at one L0, read off its frontier. A sweep that does not reach "
    "this L0 has no rank. Two sweeps are told apart if they differ by more than two standard "
    "errors of their difference. The best rank counts only the sweeps above that are told apart, "
    "and the worst rank only those below. A standard error is over the seeds of a sweep. A sweep "
    "with one seed has the standard deviation over seeds of the sweeps of its recipe that have "
    "several."
)
NO_ERROR = (
    "Some ranks have no interval: no sweep of the recipe has several seeds, or every seed of the "
    "sweep collapsed next to this L0."
)
MEANS = (
    "Mean ranks are over all pairs of model and hookpoint. A sweep that is not ranked at every "
    "pair has none, and the ranks of the others are among these alone. The interval holds 95 % of "
    "the means over pairs that are drawn anew. First is the number of pairs in which a sweep has "
    "rank 1."
)
DOMINATES_AT_ALL = (
    "A sweep strictly dominates another if its R2 is higher at every L0 that both reach. 2/5: on "
    "two of the five pairs of model and hookpoint at which both reach some L0."
)
DOMINATES = (
    "Below the counts is a table for each pair. There the number is the smallest gap, row minus "
    "column."
)
COUNTED = "Pairs on which the row strictly dominates the column"
TWO_SIDES = (
    "Each two-sided form has half the width of its one-sided form. Differences are two sides minus "
    "one, at one L0; gaps are over all L0 that both reach. The last row of each is over pairs of "
    "model and hookpoint: means, and of the smallest gap the smallest. The sign test asks whether "
    "differences of R2 are as often above zero as below. It is made with six pairs or more."
)


def ranking_parts(
    ranking: pd.DataFrame, summary: pd.DataFrame, spec: ComparisonSpec
) -> list[str | Grid]:
    """The page of ranking.csv and ranking_summary.csv."""
    parts: list[str | Grid] = [*how_ranked(ranking), MEANS]
    parts += [grid for l0 in spec.matched_levels for grid in summary_grids(summary, l0, spec)]
    for (recipe, model, hookpoint, l0), rows in ranking.groupby(
        ["recipe", "model", "hookpoint", "l0"], sort=False
    ):
        title = spec.titled(f"{model}, {hookpoint}, at L0 = {l0:g}", str(recipe))
        parts.append(_ranks(rows, title))
    return parts


def how_ranked(ranking: pd.DataFrame) -> list[str]:
    """How ranks and their intervals are made, and where there are none."""
    ranked = ranking[ranking["rank"].notna()]
    return [RANKS, *[NO_ERROR] * bool(ranked["r2_se"].isna().any())]


def summary_grids(summary: pd.DataFrame, l0: float, spec: ComparisonSpec) -> list[Grid]:
    """Mean ranks at one L0, a table for each recipe."""
    return [
        Grid(
            title=spec.titled(f"Mean ranks at L0 = {l0:g}", str(recipe)),
            columns=("Sweep", "Mean rank", "Of", "Interval", "First", "Pairs", "Not ranked"),
            rows=tuple(_mean(row) for _, row in rows.iterrows()),
        )
        for recipe, rows in summary[summary["l0"] == l0].groupby("recipe", sort=False)
    ]


def _mean(row: pd.Series) -> tuple[str, ...]:
    known = not pd.isna(row["low"])
    interval = f"{row['low']:.1f} to {row['high']:.1f}" if known else BLANK
    mean = BLANK if pd.isna(row["mean_rank"]) else f"{row['mean_rank']:.1f}"
    counts = (_whole(row[name]) for name in ("first", "pairs", "unranked"))
    return row["series"], mean, _whole(row["of"]), interval, *counts


def _ranks(rows: pd.DataFrame, title: str) -> Grid:
    probes = [str(name) for name in rows if str(name).startswith(("accuracy_", "absorption"))]
    heads = [f"Accuracy, k = {name.removeprefix('accuracy_')}" for name in probes[:-1]]
    heads += ["Absorption"] * bool(probes)
    return Grid(
        title=title,
        columns=(
            *("Sweep", "Rank", "Best to worst", "Sides", "R2", "Loss Recovered", "Dead"),
            *(*heads, "Parameters", "Training tokens/s", "Note"),
        ),
        rows=tuple(_rank(row, probes) for _, row in rows.iterrows()),
    )


def _rank(row: pd.Series, probes: list[str]) -> tuple[str, ...]:
    recovered = format_number(row["loss_recovered"])
    noisy = " (noise)" if row["lr_noisy"] and recovered != BLANK else ""
    return (
        row["series"],
        *_place(row),
        _whole(row["sides"]),
        with_error(row["r2"], row["r2_se"]),
        recovered + noisy,
        *(format_number(row[name]) for name in ("dead_fraction", *probes)),
        _whole(row["parameters"]),
        _whole(row["tokens_per_second"]),
        _note(row),
    )


def _place(row: pd.Series) -> tuple[str, str]:
    """The rank, and how far it may move."""
    interval = BLANK
    if not pd.isna(row["best_rank"]):
        interval = f"{row['best_rank']:.0f} to {row['worst_rank']:.0f}"
    return _whole(row["rank"]), interval


def _whole(value: float) -> str:
    return BLANK if pd.isna(value) else f"{value:,.0f}"


def _note(row: pd.Series) -> str:
    """Where the error is from, or why there is no rank."""
    if row["rank_reason"]:
        return str(row["rank_reason"])
    own = f"{row['seeds']:.0f} seed{'s' * (row['seeds'] != 1)}"
    source = row["error_from"] if row["error_from"].startswith("pooled") else ""
    fallen = "with collapsed cells" if row["collapsed"] else ""
    return "; ".join(filter(None, (own, source and f"error {source}", fallen)))


def dominance_parts(table: pd.DataFrame, spec: ComparisonSpec) -> list[str | Grid]:
    """The page of dominance.csv."""
    parts: list[str | Grid] = [DOMINATES_AT_ALL, DOMINATES, *count_grids(table, spec)]
    for (recipe, model, hookpoint), rows in table.groupby(
        ["recipe", "model", "hookpoint"], sort=False
    ):
        title = spec.titled(f"{model}, {hookpoint}", str(recipe))
        shown = {
            (row["series"], row["against_series"]): _outcome(row) for _, row in rows.iterrows()
        }
        parts.append(_matrix(shown, title))
    return parts


def _outcome(row: pd.Series) -> str:
    gap = f" {signed(row['min_gap'])}" if row["outcome"] != NO_RANGE else ""
    return row["outcome"] + gap


def count_grids(table: pd.DataFrame, spec: ComparisonSpec) -> list[Grid]:
    """On how many pairs each dominates each, a matrix for each recipe."""
    grids = []
    for recipe, rows in table.groupby("recipe", sort=False):
        shown = {}
        for (one, other), found in rows.groupby(["series", "against_series"], sort=False):
            able = int((found["outcome"] != NO_RANGE).sum())
            won = int((found["outcome"] == YES).sum())
            shown[str(one), str(other)] = f"{won}/{able}" if able else BLANK
        grids.append(_matrix(shown, spec.titled(COUNTED, str(recipe))))
    return grids


def _matrix(shown: dict[tuple[str, str], str], title: str) -> Grid:
    names = list(dict.fromkeys(name for pair in shown for name in pair))
    return Grid(
        title=title,
        columns=("Row against column", *names),
        rows=tuple((one, *(shown.get((one, other), "") for other in names)) for one in names),
    )


def side_parts(table: pd.DataFrame, spec: ComparisonSpec) -> list[str | Grid]:
    """The page of sides.csv."""
    parts: list[str | Grid] = [TWO_SIDES]
    for l0 in spec.matched_levels:
        at = table[table["l0"] == l0]
        read = at.groupby(["series", "recipe"])["r2_difference"].transform("count") > 0
        parts += side_grids(at[read], l0, spec)
        for recipe, rows in at[~read].groupby("recipe", sort=False):
            title = spec.titled(f"At L0 = {l0:g}", str(recipe))
            forms = "; ".join(rows["series"].drop_duplicates())
            parts.append(f"{title} there is no row of {forms}: on no pair do both forms reach it.")
    return parts if len(table) else ["The grid has no two-sided form at half the width of another."]


def side_grids(table: pd.DataFrame, l0: float, spec: ComparisonSpec) -> list[Grid]:
    """Two sides beside one at one L0, a table for each recipe."""
    at = table[table["l0"] == l0]
    recipes = [recipe for recipe in spec.trained if (at["recipe"] == recipe).any()]
    return [
        Grid(
            title=spec.titled(f"Two sides against one at L0 = {l0:g}", recipe),
            columns=(
                *("Two-sided form", "Model", "Hookpoint", "R2 difference"),
                *("Loss Recovered difference", "Dead, two sides against one"),
                *("Smallest gap", "Mean gap", "Dominates"),
            ),
            rows=tuple(_side(row) for _, row in _of(at, recipe)),
        )
        for recipe in recipes
    ]


def _of(table: pd.DataFrame, recipe: str) -> Iterator[tuple[object, pd.Series]]:
    return table[table["recipe"] == recipe].iterrows()


def _side(row: pd.Series) -> tuple[str, ...]:
    over = not row["model"]
    place = ("all pairs", f"{row['positive']:.0f} of {row['pairs']:.0f} above 0") if over else ()
    dead = [format_number(row[f"dead_{side}"]) for side in ("candidate", "baseline")]
    p = "" if pd.isna(row["sign_p"]) else f", p = {share(row['sign_p'])}"
    return (
        row["series"],
        *(place or (row["model"], row["hookpoint"])),
        signed(row["r2_difference"]) + p,
        signed(row["loss_recovered_difference"]),
        BLANK if BLANK in dead else f"{dead[0]} against {dead[1]}",
        signed(row["min_gap"]),
        signed(row["mean_gap"]),
        row["outcome"],
    )
