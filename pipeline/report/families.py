"""The section of the report on a study of several families: all sweeps against all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.figures import FAMILY_FIGURES, RECIPE_MARK
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
from pipeline.text.numbers import Grid


@dataclass(frozen=True, kw_only=True)
class AllAgainstAll:
    """What the section shows, all of it at the first matched L0."""

    ranks_read: tuple[str, ...]
    ranks: tuple[Grid, ...]
    """Mean ranks over pairs, a table for each recipe."""
    figures: tuple[str, ...]
    """Names of its figures."""
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
        spec: Has the families, the recipes and the figures.
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
        figures=tuple(n for n in spec.figures if n.partition(RECIPE_MARK)[0] in FAMILY_FIGURES),
        sides_read=TWO_SIDES,
        sides=tuple(zip(over, each, strict=True)),
        counts_read=DOMINATES_AT_ALL,
        counts=tuple(count_grids(read_table(tables / DOMINANCE), spec)),
    )
