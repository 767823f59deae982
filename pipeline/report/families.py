"""What the report of a study of several families asks, answers and shows: all against all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.outputs import DOMINANCE, RANKING, RANKING_SUMMARY, SIDES
from pipeline.tables.ranking_text import (
    DOMINATES_AT_ALL,
    MEANS,
    TWO_SIDES,
    count_grids,
    how_ranked,
    side_grids,
    summary_grids,
)
from pipeline.text.csv_files import read_table
from pipeline.text.numbers import Grid, variant_label

QUESTION = "Which of these autoencoders explains the most, and does a second side pay?"
NAMED = 3
"""So many of the best sweeps are named."""


def all_in_brief(tables: Path, spec: ComparisonSpec) -> tuple[str, ...]:
    """For each recipe, a few sentences on the ranks and the two-sided forms at the first L0.

    Args:
        tables: Folder of the tables.
        spec: Has the recipes and the matched L0.
    """
    l0 = spec.matched_levels[0]
    ranks, sides = read_table(tables / RANKING_SUMMARY), read_table(tables / SIDES)
    ranks, sides = ranks[ranks["l0"] == l0], sides[(sides["l0"] == l0) & (sides["model"] == "")]
    return tuple(
        spec.titled(f"At L0 = {l0:g}", str(recipe))
        + f": {_on_ranks(rows)} "
        f"{_on_sides(sides[sides['recipe'] == recipe], len(spec.trained[str(recipe)]))}".rstrip()
        for recipe, rows in ranks.groupby("recipe", sort=False)
    )


def _on_ranks(rows: pd.DataFrame) -> str:
    """Which sweeps have the best mean ranks, of those that reach the L0 at every pair."""
    able = rows[(rows["unranked"] == 0) & rows["mean_rank"].notna()]
    apart = len(rows) - len(able)
    left = f" {apart} of {len(rows)} sweeps do not reach this L0 at every pair." if apart else ""
    if able.empty:
        return f"no sweep can be ranked.{left}"
    best, *others = able.sort_values("mean_rank", kind="stable")[:NAMED].to_dict("records")
    then = "; ".join(f"{one['series']} ({one['mean_rank']:.1f})" for one in others)
    after = f" After it: {then}." if then else ""
    return (
        f"{best['series']} has the best mean rank by R2, {best['mean_rank']:.1f} of {len(able)}, "
        f"over {_counted(best['pairs'], 'pair')} of model and hookpoint.{after}{left}"
    )


def _on_sides(over: pd.DataFrame, pairs: int) -> str:
    """Which two-sided forms at half the width are ahead at every pair, and which at none, of those
    that share the L0 with their one-sided form at every pair.
    """
    if over.empty:
        return ""
    able = over[over["pairs"] == pairs]
    apart = len(over) - len(able)
    do = "does" if apart == 1 else "do"
    left = f"{apart} {do} not share this L0 with the one-sided form at every pair."
    if able.empty:
        return f"Of the two-sided forms, {left}"
    ahead = able[able["positive"] == able["pairs"]]
    behind = able[able["positive"] == 0]
    found = (
        f"Of {_counted(len(able), 'two-sided form')} at half the width, {_forms(ahead)} "
        f"above the one-sided form in R2 at every pair, and {_forms(behind)} at none."
    )
    return f"{found} Of {len(over)}, {left}" if apart else found


def _forms(rows: pd.DataFrame) -> str:
    names = f" ({', '.join(map(variant_label, rows['variant']))})" if len(rows) else ""
    return f"{len(rows)}{names} {'is' if len(rows) == 1 else 'are'}"


def _counted(number: float, what: str) -> str:
    return f"{number:.0f} {what}" + "s" * (number != 1)


@dataclass(frozen=True, kw_only=True)
class AllAgainstAll:
    """What the section shows, all of it at the first matched L0."""

    ranks_read: tuple[str, ...]
    ranks: tuple[Grid, ...]
    """Mean ranks over pairs, a table for each recipe."""
    sides_read: str
    sides: tuple[tuple[Grid, Grid], ...]
    """Two sides against one, over pairs and at each of them, for each recipe."""
    counts_read: str
    counts: tuple[Grid, ...]
    """On how many pairs each sweep dominates each, a matrix for each recipe."""


def all_against_all(tables: Path, spec: ComparisonSpec) -> AllAgainstAll | None:
    """From the written tables; None in a study of one family.

    Args:
        tables: Folder of the tables.
        spec: Has the families and the recipes.
    """
    if not spec.several_families:
        return None
    l0, sides = spec.matched_levels[0], read_table(tables / SIDES)
    over, each = (
        side_grids(sides[which], l0, spec) for which in (sides["model"] == "", sides["model"] != "")
    )
    return AllAgainstAll(
        ranks_read=(*how_ranked(read_table(tables / RANKING)), MEANS),
        ranks=tuple(summary_grids(read_table(tables / RANKING_SUMMARY), l0, spec)),
        sides_read=TWO_SIDES,
        sides=tuple(zip(over, each, strict=True)),
        counts_read=DOMINATES_AT_ALL,
        counts=tuple(count_grids(read_table(tables / DOMINANCE), spec)),
    )
