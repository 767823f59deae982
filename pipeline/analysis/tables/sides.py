"""sides.csv: each form of two sides at half the width against its form of one side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.analysis.numbers import matched_column
from pipeline.analysis.tables.comparison import SIDES, answer
from pipeline.analysis.tables.dominance import NO_RANGE
from pipeline.analysis.tables.sweeps import Side, sweeps_under
from pipeline.study.cell import SweepKey
from pipeline.study.scope import SWEPT, Scope
from sagsae.autoencoders.registry import sides, stem
from sagsae.ranking import sign_test
from sagsae.sweeps import Sweep

TWO, ONE, NEITHER = "two-sided", "one-sided", "neither"
OUTCOMES = (TWO, ONE, NEITHER, NO_RANGE)
NAMED = ("family", "series", "variant", "recipe")
QUESTION = (*NAMED, "model", "hookpoint", "width", "baseline_width", "l0")
DIFFERENCES = ("r2_difference", "loss_recovered_difference")
DEAD = tuple(f"dead_{side}" for side in SIDES)
GAPS = ("min_gap", "min_gap_l0", "mean_gap")
COLUMNS = (
    *(*QUESTION, *DIFFERENCES, *DEAD, *GAPS, "outcome", "l0_reason"),
    *("pairs", "positive", "sign_p"),
)
WHOLE = ("width", "baseline_width", "pairs", "positive")
MEANS = (*DIFFERENCES, *DEAD, "mean_gap")
"""What the line over pairs has the mean of; its smallest gap is the smallest of all."""


def side_table(
    sweeps: Mapping[SweepKey, Sweep], names: Mapping[SweepKey, str], spec: Scope
) -> pd.DataFrame:
    """One row per (family, two-sided series, recipe, model, hookpoint, matched L0); after those of
    each recipe a line over pairs, without a model.

    Differences are two sides minus one; ``outcome`` says which of the two strictly dominates. A
    line over pairs has means, the number of ``pairs`` with a difference of R2, how many are
    ``positive``, the p of a sign test where it has one, and of the gaps the smallest.

    Args:
        sweeps: All of the study.
        names: The series of each.
        spec: Has recipes, places and matched L0.
    """
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for recipe, places in spec.trained.items():
        under = sweeps_under(recipe, dict(sweeps), spec)
        for side in sorted(under, key=lambda side: (places.index(side[:2]), *side[2:])):
            if _is_asked(side, recipe, under, spec):
                model, hookpoint, variant, width = side
                key = SweepKey(model, hookpoint, variant, spec.home(recipe, variant), width)
                named = stem(variant), names[key], variant, recipe
                rows = found.setdefault(named, [])
                rows += _rows(named, side, under, spec.matched_levels)
    table = []
    for family in sorted(found, key=lambda family: spec.families.index(family[0])):
        for l0 in spec.matched_levels:
            rows = [row for row in found[family] if row["l0"] == l0]
            table += [*rows, _over_pairs(rows)]
    return pd.DataFrame(table, columns=list(COLUMNS)).astype(dict.fromkeys(WHOLE, "Int64"))


def one_sided(side: Side) -> Side:
    """The sweep that a two-sided one is set beside: its stem at twice the width."""
    model, hookpoint, variant, width = side
    return model, hookpoint, stem(variant), 2 * width


def _is_asked(side: Side, recipe: str, under: Mapping[Side, Sweep], spec: Scope) -> bool:
    """Whether a sweep has two sides, stands beside one of one side, and one of them was trained
    under the recipe."""
    variants = [side[2], stem(side[2])]
    own = any(spec.home(recipe, variant) == recipe for variant in variants)
    return own and sides(side[2]) == 2 and one_sided(side) in under


def _rows(
    named: tuple[str, ...], side: Side, under: Mapping[Side, Sweep], levels: list[float]
) -> list[dict[str, Any]]:
    other = one_sided(side)
    question: dict[str, Any] = {"model": side[0], "hookpoint": side[1]}
    for name, (*_, variant, width) in zip(SIDES, (side, other), strict=True):
        question |= {f"{name}_variant": variant, f"{name}_width": width}
    found = answer(dict(under), question, levels)
    values = (*named, *side[:2], side[3], other[3])
    shared = dict(zip(QUESTION[:-1], values, strict=True)) | {name: found[name] for name in GAPS}
    shared["outcome"] = _dominant(found)
    return [shared | _at(found, l0) for l0 in levels]


def _dominant(found: Mapping[str, Any]) -> str:
    """Which of the two strictly dominates over the shared range."""
    if found["dominates"] is None:
        return NO_RANGE
    return TWO if found["dominates"] else ONE if found["max_gap"] < 0 else NEITHER


def _at(found: Mapping[str, Any], l0: float) -> dict[str, Any]:
    """What differs at one matched L0."""
    values = {
        metric: [found[matched_column(l0, metric, side)] for side in SIDES] for metric in SWEPT
    }
    row: dict[str, Any] = {"l0": l0, "l0_reason": found[f"l0_{l0:g}_reason"]}
    for name in DIFFERENCES:
        one, other = values[name.removesuffix("_difference")]
        row[name] = None if one is None or other is None else one - other
    return row | dict(zip(DEAD, values["dead_fraction"], strict=True))


def _over_pairs(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The line over the pairs of one family under one recipe at one L0."""
    line = {name: rows[0][name] for name in (*NAMED, "l0")}
    for name in MEANS:
        known = [row[name] for row in rows if row[name] is not None]
        line[name] = sum(known) / len(known) if known else None
    gaps = [row["min_gap"] for row in rows if row["min_gap"] is not None]
    differences = [row[DIFFERENCES[0]] for row in rows if row[DIFFERENCES[0]] is not None]
    line |= {"min_gap": min(gaps, default=None), "pairs": len(differences)}
    line |= {"positive": sum(one > 0 for one in differences), "sign_p": sign_test(differences)}
    counts = [
        f"{name} {n}" for name in OUTCOMES if (n := sum(row["outcome"] == name for row in rows))
    ]
    return line | {"model": "", "hookpoint": "", "outcome": ", ".join(counts), "l0_reason": ""}
