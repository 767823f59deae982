"""dominance.csv: which sweep strictly dominates which, at every place under every recipe;
sides.csv: each form of two sides at half the width against its form of one side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import pandas as pd

from pipeline.analysis.numbers import matched_column
from pipeline.analysis.tables.comparison import SIDES, answer
from pipeline.analysis.tables.sign_rates import by_seed
from pipeline.analysis.tables.sweeps import Sweeps, by_place
from pipeline.study.cell import SweepKey
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import looks, sides, stem
from sagsae.comparison.dominance import dominance, overlap
from sagsae.comparison.frontiers import Floats
from sagsae.comparison.ranking import sign_test
from sagsae.comparison.sign_rates import holm, mean_difference

YES, NO, NO_RANGE = "yes", "no", "no shared range"
GAPS = ("min_gap", "min_gap_l0", "mean_gap")
VERDICTS = {True: YES, False: NO, None: NO_RANGE}


def dominance_table(sweeps: Sweeps, names: Mapping[SweepKey, str], spec: Scope) -> pd.DataFrame:
    """One row per (recipe, model, hookpoint) and ordered pair of its sweeps, in the order of
    legends. ``outcome`` says whether the first strictly dominates the second; gaps are first minus
    second.

    Args:
        sweeps: All of the study.
        names: The series of each.
        spec: Has recipes and places.
    """
    rows, order = [], list(looks(key.variant for key in sweeps))
    for recipe, here in by_place(sweeps, spec):
        here.sort(key=lambda key: (order.index(key.variant), key.width))
        for one, other in permutations(here, 2):
            pair = sweeps[one], sweeps[other]
            found, shared = dominance(*pair, draws=0), overlap(*pair)
            row: dict[str, Any] = {"recipe": recipe}
            row |= {"model": one.model, "hookpoint": one.hookpoint}
            for side, key in (("", one), ("against_", other)):
                row |= {f"{side}series": names[key], f"{side}variant": key.variant}
                row |= {f"{side}width": key.width}
            row |= {"outcome": VERDICTS[found.dominates]}
            row |= {name: getattr(found, name) for name in GAPS}
            rows.append(row | {"overlap_lo": shared.lo, "overlap_hi": shared.hi})
    return pd.DataFrame(rows)


TWO, ONE, NEITHER = "two-sided", "one-sided", "neither"
OUTCOMES = (TWO, ONE, NEITHER, NO_RANGE)
NAMED = ("family", "series", "variant", "recipe")
DIFFERENCES = ("r2_difference", "loss_recovered_difference")
INTERVAL = ("r2_difference_low", "r2_difference_high", "equal_within")
DEAD = ("dead_candidate", "dead_baseline")
COLUMNS = (
    *(*NAMED, "model", "hookpoint", "width", "baseline_width", "l0"),
    *("r2_difference", *INTERVAL, "loss_recovered_difference", *DEAD),
    *("min_gap", "min_gap_l0", "mean_gap", "outcome", "l0_reason"),
    *("pairs", "positive", "sign_p", "sign_p_holm"),
)
# Of a row, until the table is whole: the values by seed of both sides.
SEEDS = "values_by_seed"
WHOLE = ("width", "baseline_width", "pairs", "positive")
# What the line over pairs has the mean of; its smallest gap is the smallest of all.
MEANS = [*DIFFERENCES, *DEAD, "mean_gap"]


def side_table(sweeps: Sweeps, names: Mapping[SweepKey, str], spec: Scope) -> pd.DataFrame:
    """One row per (family, two-sided series, recipe, model, hookpoint, matched L0); after those of
    each recipe a line over pairs, without a model.

    Differences are two sides minus one; ``outcome`` says which of the two strictly dominates. A
    line over pairs has means, the number of ``pairs`` with a difference of R2, how many are
    ``positive``, the p of a sign test where it has one, and of the gaps the smallest. With several
    seeds, a difference of R2 has a 95 % interval; a line over pairs draws seeds within pairs.
    ``sign_p_holm`` is adjusted over the lines of a recipe and L0.

    Args:
        sweeps: All of the study.
        names: The series of each.
        spec: Has recipes, places and matched L0.
    """
    rows = []
    for recipe, here in by_place(sweeps, spec):
        for key in here:
            one = stem(key.variant)
            other = key._replace(variant=one, recipe=spec.home(recipe, one), width=2 * key.width)
            if sides(key.variant) == 2 and other in here and recipe in (key.recipe, other.recipe):
                named = dict(zip(NAMED, (one, names[key], key.variant, recipe), strict=True))
                rows += [named | row for row in _rows(sweeps, key, other, spec.matched_levels)]
    table = pd.DataFrame(rows, columns=[*COLUMNS, SEEDS])
    parts = [table[:0]]
    by_family = dict(iter(table.groupby(list(NAMED), sort=False)))
    for family in sorted(by_family, key=lambda named: spec.families.index(str(named[0]))):
        for _, pairs in by_family[family].groupby("l0", sort=False):
            parts += [pairs, _over_pairs(pairs)]
    table = pd.concat(parts, ignore_index=True).drop(columns=SEEDS)
    for _, lines in table[table["model"] == ""].groupby(["recipe", "l0"]):
        known = [None if pd.isna(p) else float(p) for p in lines["sign_p"]]
        table.loc[lines.index, "sign_p_holm"] = pd.Series(holm(known), lines.index, dtype=float)
    return table.astype(dict.fromkeys(WHOLE, "Int64"))


def _rows(
    sweeps: Sweeps, two: SweepKey, one: SweepKey, levels: list[float]
) -> list[dict[str, Any]]:
    """What tells a sweep of two sides from that of one, at each matched L0."""
    found = answer(sweeps, two, one, levels)
    shared = {name: found[name] for name in GAPS}
    shared |= {"model": two.model, "hookpoint": two.hookpoint}
    shared |= {"width": two.width, "baseline_width": one.width}
    ahead = TWO if found["dominates"] else ONE if (found["max_gap"] or 0) < 0 else NEITHER
    shared["outcome"] = NO_RANGE if found["dominates"] is None else ahead
    rows = []
    for l0 in levels:
        row = shared | {"l0": l0, "l0_reason": found[f"l0_{l0:g}_reason"]}
        for name in DIFFERENCES:
            metric = name.removesuffix("_difference")
            a, b = (found[matched_column(l0, metric, side)] for side in SIDES)
            row[name] = None if a is None or b is None else a - b
        for name, side in zip(DEAD, SIDES, strict=True):
            row[name] = found[matched_column(l0, "dead_fraction", side)]
        if row["r2_difference"] is not None:
            row[SEEDS] = [by_seed(sweeps, key, "r2", l0) for key in (two, one)]
            row |= _interval([row[SEEDS]])
        rows.append(row)
    return rows


def _interval(pairs: Sequence[Sequence[Floats]]) -> dict[Any, float | None]:
    """Of the mean over pairs of R2 of two sides minus one; none unless each has several seeds."""
    if not pairs or min(values.size for pair in pairs for values in pair) < 2:
        return dict.fromkeys(INTERVAL)
    two, one = zip(*pairs, strict=True)
    found = mean_difference(two, one)
    return dict(zip(INTERVAL, (found.low, found.high, found.equal_within), strict=True))


def _over_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """The line over the pairs of one family under one recipe at one L0."""
    numbers = rows[[*MEANS, "min_gap"]].astype(float)
    differences = numbers[DIFFERENCES[0]].dropna()
    counts = rows["outcome"].value_counts()
    line = rows.iloc[0][[*NAMED, "l0"]].to_dict() | numbers[MEANS].mean().to_dict()
    line |= {"min_gap": numbers["min_gap"].min(), "pairs": len(differences)}
    line |= {"positive": int((differences > 0).sum()), "sign_p": sign_test(differences.tolist())}
    line |= _interval(rows.loc[differences.index, SEEDS].tolist())
    line["outcome"] = ", ".join(f"{name} {counts[name]}" for name in OUTCOMES if name in counts)
    line |= {"model": "", "hookpoint": "", "l0_reason": ""}
    return pd.DataFrame([line], columns=rows.columns)
