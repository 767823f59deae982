"""dominance.csv: which sweep strictly dominates which, at every place under every recipe;
sides.csv: each form of two sides at half the width against its form of one side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any, NamedTuple

import pandas as pd

from pipeline.analysis.columns import Column, named
from pipeline.analysis.numbers import matched_column, share, signed
from pipeline.analysis.table import Table
from pipeline.analysis.tables.all_sweeps import ALL_SWEEPS
from pipeline.analysis.tables.comparison import SIDES as BOTH
from pipeline.analysis.tables.comparison import answer
from pipeline.analysis.tables.sign_rates import by_seed
from pipeline.analysis.tables.sweeps import Sweeps, by_place
from pipeline.study.cell import SweepKey
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import looks, sides, stem
from sagsae.comparison.dominance import dominance, overlap
from sagsae.comparison.ranking import sign_test
from sagsae.comparison.sign_rates import holm, mean_difference
from sagsae.comparison.sweeps import Floats

YES, NO, NO_RANGE = "yes", "no", "no shared range"
GAPS = ("min_gap", "min_gap_l0", "mean_gap")
VERDICTS = {True: YES, False: NO, None: NO_RANGE}


def _counts(table: pd.DataFrame) -> pd.DataFrame:
    """On how many pairs each sweep dominates each: a matrix under each recipe."""
    marked = table.assign(able=table["outcome"] != NO_RANGE, won=table["outcome"] == YES)
    keys = ["recipe", "series", "against_series"]
    sums = marked.groupby(keys, sort=False)[["won", "able"]].sum()
    counts = sums["won"].astype(str) + "/" + sums["able"].astype(str)
    return counts.unstack("against_series", sort=False).fillna("").reset_index()


DOMINANCE = Table(
    "dominance",
    "Which sweep dominates which",
    reads="2/5: the row strictly dominates the column on two of the five pairs of model and "
    "hookpoint where both reach some L0.",
    by=["recipe"],
    columns=["series ..."],
    texts="against_series against_variant",
    prepare=_counts,
)


@DOMINANCE.made_from(ALL_SWEEPS)
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
        for first, second in permutations(here, 2):
            pair = sweeps[first], sweeps[second]
            verdict, shared = dominance(*pair, draws=0), overlap(*pair)
            row: dict[str, Any] = {"recipe": recipe}
            row |= {"model": first.model, "hookpoint": first.hookpoint}
            for side, key in (("", first), ("against_", second)):
                row |= {f"{side}series": names[key], f"{side}variant": key.variant}
                row |= {f"{side}width": key.width}
            row |= {"outcome": VERDICTS[verdict.dominates]}
            row |= {name: getattr(verdict, name) for name in GAPS}
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
WHOLE = ("width", "baseline_width", "pairs", "positive")
# What the line over pairs has the mean of; its smallest gap is the smallest of all.
MEANS = [*DIFFERENCES, *DEAD, "mean_gap"]
TWO_SIDES = Table(
    "sides",
    "Two sides at half the width",
    reads="A difference is two sides minus one; a row without a model is over all pairs. An "
    "interval holds 95 % of draws of seeds; one seed has none.",
    by=["recipe l0"],
    columns=[
        "series model hookpoint",
        *named("r2_difference r2_difference_low r2_difference_high", signed),
        "equal_within",
        Column("loss_recovered_difference", form=signed),
        "dead_candidate dead_baseline min_gap mean_gap outcome positive pairs",
        *named("sign_p sign_p_holm", share),
    ],
    texts="l0_reason",
)


class Difference(NamedTuple):
    """What tells two sides from one at one place and matched L0."""

    row: dict[str, Any]
    # R2 of two sides and of one, by seed; None where one of them does not reach the L0.
    by_seed: tuple[Floats, Floats] | None


@TWO_SIDES.made_from(ALL_SWEEPS)
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
    families: dict[tuple[str, ...], dict[float, list[Difference]]] = {}
    for recipe, here in by_place(sweeps, spec):
        for key in here:
            one = stem(key.variant)
            other = key._replace(variant=one, recipe=spec.home(recipe, one), width=2 * key.width)
            if sides(key.variant) == 2 and other in here and recipe in (key.recipe, other.recipe):
                levels = families.setdefault((one, names[key], key.variant, recipe), {})
                for l0, pair in _differences(sweeps, key, other, spec.matched_levels).items():
                    levels.setdefault(l0, []).append(pair)
    rows = []
    for family in sorted(families, key=lambda named: spec.families.index(named[0])):
        named = dict(zip(NAMED, family, strict=True))
        for pairs in families[family].values():
            rows += [named | line for line in (*(pair.row for pair in pairs), _over_pairs(pairs))]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    over_pairs = table["model"] == ""
    # As in committed tables: a column that some line over pairs lacks keeps every digit.
    absent = table.loc[over_pairs, [*INTERVAL, "sign_p"]].isna().any()
    table = table.astype(dict.fromkeys(absent.index[absent], object))
    for _, lines in table[over_pairs].groupby(["recipe", "l0"]):
        known = [None if pd.isna(p) else float(p) for p in lines["sign_p"]]
        table.loc[lines.index, "sign_p_holm"] = pd.Series(holm(known), lines.index, dtype=float)
    return table.astype(dict.fromkeys(WHOLE, "Int64"))


def _differences(
    sweeps: Sweeps, two: SweepKey, one: SweepKey, levels: list[float]
) -> dict[float, Difference]:
    """What tells a sweep of two sides from that of one, at each matched L0."""
    answers = answer(sweeps, two, one, levels)
    shared = {name: answers[name] for name in GAPS}
    shared |= {"model": two.model, "hookpoint": two.hookpoint}
    shared |= {"width": two.width, "baseline_width": one.width}
    ahead = TWO if answers["dominates"] else ONE if (answers["max_gap"] or 0) < 0 else NEITHER
    shared["outcome"] = NO_RANGE if answers["dominates"] is None else ahead
    pairs = {}
    for l0 in levels:
        row = shared | {"l0": l0, "l0_reason": answers[f"l0_{l0:g}_reason"]}
        for name in DIFFERENCES:
            metric = name.removesuffix("_difference")
            a, b = (answers[matched_column(l0, metric, side)] for side in BOTH)
            row[name] = None if a is None or b is None else a - b
        for name, side in zip(DEAD, BOTH, strict=True):
            row[name] = answers[matched_column(l0, "dead_fraction", side)]
        values = None
        if row["r2_difference"] is not None:
            values = by_seed(sweeps, two, "r2", l0), by_seed(sweeps, one, "r2", l0)
            row |= _interval([values])
        pairs[l0] = Difference(row, values)
    return pairs


def _interval(pairs: Sequence[tuple[Floats, Floats]]) -> dict[str, float | None]:
    """The interval of the mean over pairs of R2 of two sides minus one; none unless each pair has
    several seeds."""
    if not pairs or min(values.size for pair in pairs for values in pair) < 2:
        return dict.fromkeys(INTERVAL)
    two, one = zip(*pairs, strict=True)
    mean = mean_difference(two, one)
    return dict(zip(INTERVAL, (mean.low, mean.high, mean.equal_within), strict=True))


def _over_pairs(pairs: Sequence[Difference]) -> dict[str, Any]:
    """The line over the pairs of one family under one recipe at one L0."""
    rows = pd.DataFrame([pair.row for pair in pairs])
    means = rows[[*MEANS, "min_gap"]].astype(float)
    differences = means[DIFFERENCES[0]].dropna()
    counts = rows["outcome"].value_counts()
    return {
        "l0": rows["l0"].iloc[0],
        "model": "",
        "hookpoint": "",
        **{name: means[name].mean() for name in MEANS},
        "min_gap": means["min_gap"].min(),
        "pairs": len(differences),
        "positive": int((differences > 0).sum()),
        "sign_p": sign_test(differences.tolist()),
        **_interval([pair.by_seed for pair in pairs if pair.by_seed is not None]),
        "outcome": ", ".join(f"{name} {counts[name]}" for name in OUTCOMES if name in counts),
        "l0_reason": "",
    }
