"""dominance.csv: which sweep strictly dominates which, at every place under every recipe;
sides.csv: each form of two sides at half the width against its form of one side;
sign_rates.csv: how many one-sided latents a two-sided one is worth, by several measures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import compress, permutations
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.columns import Column, named
from pipeline.analysis.numbers import looks, matched_column, signed
from pipeline.analysis.table import Table
from pipeline.analysis.tables.comparison import SIDES, compared
from pipeline.analysis.tables.ranking import ALL_SWEEPS
from pipeline.analysis.tables.sweeps import Sweeps, by_place
from pipeline.study.cell import SweepKey
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import sides, stem
from sagsae.comparison.dominance import dominance, overlap
from sagsae.comparison.intervals import mean_difference
from sagsae.comparison.ranking import read_at
from sagsae.comparison.sign_rates import sign_rate
from sagsae.comparison.sweeps import Floats

NO_RANGE = "no shared range"
VERDICTS = {True: "yes", False: "no", None: NO_RANGE}


def _counts(table: pd.DataFrame) -> pd.DataFrame:
    """On how many pairs each sweep dominates each: a matrix under each recipe."""
    marked = table.assign(able=table["outcome"] != NO_RANGE, won=table["outcome"] == "yes")
    keys = ["recipe", "series", "against_series"]
    sums = marked.groupby(keys, sort=False)[["won", "able"]].sum()
    counts = sums["won"].astype(str) + "/" + sums["able"].astype(str)
    return counts.unstack("against_series", sort=False).fillna("").reset_index()


DOMINANCE = Table(
    "dominance",
    "Which sweep dominates which",
    reads="2/5: the row strictly dominates the column at two of the five hookpoints where both "
    "reach "
    "some L0.",
    header="recipe model hookpoint series variant width against_series against_variant "
    "against_width outcome min_gap min_gap_l0 mean_gap overlap_lo overlap_hi",
    by=["recipe"],
    columns=["series ..."],
    texts="against_series against_variant",
    prepare=_counts,
)


@DOMINANCE.made_from(ALL_SWEEPS)
def dominance_table(
    sweeps: Sweeps, names: Mapping[SweepKey, str], spec: Scope
) -> Iterator[dict[str, Any]]:
    """One row per (recipe, model, hookpoint) and ordered pair of its sweeps, in the order of
    legends. ``outcome`` says whether the first strictly dominates the second; gaps are first minus
    second.

    Args:
        sweeps: All of the study.
        names: The series of each.
        spec: Has recipes and places.
    """
    order = list(looks(key.variant for key in sweeps))
    for recipe, here in by_place(sweeps, spec):
        here.sort(key=lambda key: (order.index(key.variant), key.width))
        for first, second in permutations(here, 2):
            pair = sweeps[first], sweeps[second]
            verdict, shared = dominance(*pair, draws=0), overlap(*pair)
            row = {"recipe": recipe, "model": first.model, "hookpoint": first.hookpoint}
            for side, key in (("", first), ("against_", second)):
                row |= {f"{side}series": names[key], f"{side}variant": key.variant}
            yield row | {
                "width": first.width,
                "against_width": second.width,
                "outcome": VERDICTS[verdict.dominates],
                **vars(verdict),
                "overlap_lo": shared.lo,
                "overlap_hi": shared.hi,
            }


OUTCOMES = ("two-sided", "one-sided", "neither", NO_RANGE)
# What the line over pairs has the mean of; its smallest gap is the smallest of all.
DIFFERENCES = ["r2_difference", "loss_recovered_difference"]
MEANS = [*DIFFERENCES, "dead_candidate", "dead_baseline", "mean_gap"]
TWO_SIDES = Table(
    "sides",
    "Signed latents at half the width",
    reads="A difference is the signed variant minus the unsigned one of twice its width; a row "
    "without a "
    "model is over all hookpoints. An interval is that of Student's t over seeds, 95 %; one seed "
    "has "
    "none.",
    header="family series variant recipe model hookpoint width baseline_width l0 r2_difference "
    "r2_difference_low r2_difference_high loss_recovered_difference dead_candidate dead_baseline "
    "min_gap min_gap_l0 mean_gap outcome l0_reason pairs positive",
    whole="width baseline_width pairs positive",
    by=["recipe l0"],
    columns=[
        "series model hookpoint",
        *named("r2_difference r2_difference_low r2_difference_high", signed),
        Column("loss_recovered_difference", form=signed),
        "dead_candidate dead_baseline min_gap mean_gap outcome positive pairs",
    ],
    texts="l0_reason",
)
# A sweep of two sides, and that of one side of twice its width.
Pair = tuple[SweepKey, SweepKey]


@TWO_SIDES.made_from(ALL_SWEEPS)
def side_table(sweeps: Sweeps, names: Mapping[SweepKey, str], spec: Scope) -> list[dict[str, Any]]:
    """One row per (family, two-sided series, recipe, model, hookpoint, matched L0); after those of
    each recipe a line over pairs, without a model.

    A line over pairs has means, and of the gaps the smallest.

    Args:
        sweeps: All of the study.
        names: The series of each.
        spec: Has recipes, places and matched L0.

    Columns:
        width, baseline_width: H of two sides, and of one side
        r2_difference, loss_recovered_difference: two sides minus one at this L0
        r2_difference_low, r2_difference_high: the 95 % interval over seeds; empty with one seed
        dead_candidate, dead_baseline: dead latents of two sides, and of one side
        min_gap, mean_gap: smallest and mean gap of R2 over the L0 that both reach
        outcome: which of the two strictly dominates
        positive, pairs: pairs where two sides have the higher R2; all pairs
    """
    rows: list[dict[str, Any]] = []
    for (family, series, variant, recipe), pairs in _families(sweeps, names, spec).items():
        named = {"family": family, "series": series, "variant": variant, "recipe": recipe}
        both = [compared(sweeps, recipe, *pair, spec.matched_levels) for pair in pairs]
        for l0 in spec.matched_levels:
            lines = [
                _difference(answer, l0) | _interval(sweeps, [pair], l0)
                for answer, pair in zip(both, pairs, strict=True)
            ]
            differ = [line["r2_difference"] is not None for line in lines]
            over = _over_pairs(pd.DataFrame(lines))
            over |= _interval(sweeps, compress(pairs, differ), l0)
            rows += [named | {"l0": l0} | line for line in (*lines, over)]
    return rows


def _families(
    sweeps: Sweeps, names: Mapping[SweepKey, str], spec: Scope
) -> dict[tuple[str, str, str, str], list[Pair]]:
    """(family, series, variant, recipe) of two-sided sweeps -> each with its one-sided form."""
    pairs: dict[tuple[str, str, str, str], list[Pair]] = {}
    for recipe, here in by_place(sweeps, spec):
        for two in (key for key in here if sides(key.variant) == 2):
            family = stem(two.variant)
            home = spec.home(recipe, family)
            one = two._replace(variant=family, recipe=home, width=2 * two.width)
            if one in here and recipe in (two.recipe, one.recipe):
                named = family, names[two], two.variant, recipe
                pairs.setdefault(named, []).append((two, one))
    return dict(sorted(pairs.items(), key=lambda item: spec.families.index(item[0][0])))


def _difference(answer: Mapping[str, Any], l0: float) -> dict[str, Any]:
    """What tells two sides from one at one place and matched L0.

    Args:
        answer: What compares them, see `compared`.
        l0: At which they are read off.
    """
    row = {name: answer[name] for name in ("model", "hookpoint", "min_gap", "min_gap_l0")}
    row |= {"width": answer["candidate_width"], "baseline_width": answer["baseline_width"]}
    row |= {"mean_gap": answer["mean_gap"], "l0_reason": answer[f"l0_{l0:g}_reason"]}
    two, one, neither, nothing = OUTCOMES
    ahead = two if answer["dominates"] else one if (answer["max_gap"] or 0) < 0 else neither
    row["outcome"] = nothing if answer["dominates"] is None else ahead
    for metric in ("r2", "loss_recovered"):
        a, b = (answer[matched_column(l0, metric, side)] for side in SIDES)
        row[f"{metric}_difference"] = None if a is None or b is None else a - b
    for side in SIDES:
        row[f"dead_{side}"] = answer[matched_column(l0, "dead_fraction", side)]
    return row


def _interval(sweeps: Sweeps, pairs: Iterable[Pair], l0: float) -> dict[str, float | None]:
    """The interval of the mean over pairs of R2 of two sides minus one at one L0; none unless each
    pair has several seeds there."""
    read = [[by_seed(sweeps, key, "r2", l0) for key in pair] for pair in pairs]
    if not read or min(value.size for values in read for value in values) < 2:
        return {}
    two, one = zip(*read, strict=True)
    mean = mean_difference(two, one)
    return {"r2_difference_low": mean.low, "r2_difference_high": mean.high}


def _over_pairs(rows: pd.DataFrame) -> dict[str, Any]:
    """The line over the pairs of one family under one recipe at one L0."""
    means = rows[[*MEANS, "min_gap"]].astype(float)
    differences = means["r2_difference"].dropna()
    counts = rows["outcome"].value_counts()
    return {
        "model": "",
        "hookpoint": "",
        **means[MEANS].mean(),
        "min_gap": means["min_gap"].min(),
        "pairs": len(differences),
        "positive": int((differences > 0).sum()),
        "outcome": ", ".join(f"{name} {counts[name]}" for name in OUTCOMES if name in counts),
        "l0_reason": "",
    }


# Measure -> 1 where higher is better, -1 where lower is.
MEASURES = {
    "r2": 1,
    "loss_added": -1,
    "kl": -1,
    "accuracy_1": 1,
    "f1": 1,
    "mcc": 1,
    "features_found": 1,
}
ORDER = ["family", "variant", "recipe", "l0", "measure"]
SIGN_RATES = Table(
    "sign_rates",
    "Width multiplier of signed latents",
    reads="Rate, the width multiplier: the width of the unsigned dictionary that does as well as "
    "the signed "
    "one, over the width of the signed one. An interval is of Student's t over seeds, 95 %; an "
    "empty "
    "end lies beyond the widths trained.",
    header="family variant recipe l0 measure model hookpoint width multiple seeds value one_sided "
    "difference difference_low difference_high rate rate_low rate_high bound widths",
    by=["recipe l0 family measure"],
    columns=[
        "model hookpoint width multiple seeds value one_sided difference difference_low",
        "difference_high rate rate_low rate_high bound",
    ],
    when=lambda spec: spec.has_sign_rates,
)


@SIGN_RATES.made_from(ALL_SWEEPS)
def sign_rate_table(sweeps: Sweeps, probed: Sweeps, spec: Scope) -> list[dict[str, Any]]:
    """One row per (family, recipe, matched L0, measure, model, hookpoint, two-sided width).

    A rate needs two widths of the one-sided form under the same recipe, or where that form has the
    recipe's cells. A seed counts that has sound cells on both sides of the L0. ``one_sided`` is the
    value of one side at the same width; a difference is two sides minus one.

    Args:
        sweeps: All of the study, with every number of their cells.
        probed: Those that were probed, with what probes found of their cells.
        spec: Has recipes, places and matched L0.

    Columns:
        measure: r2, loss_added, kl, accuracy_1 (of probes that use a single side of a code), or f1,
            mcc and features_found where the features are known
        width, multiple: H of two sides; H over d
        widths: the trained widths of one side
        value, one_sided: of two sides at this L0, and of one side at the same width
        difference, difference_low, difference_high: two sides minus one at the same width, with
            the 95 % interval over seeds
        rate, rate_low, rate_high: the rate and its 95 % interval over seeds; an end beyond the
            trained widths is empty
        bound: above or below: one side gets there beyond the trained widths, and the rate is that
            of the widest or narrowest
    """
    rows = []
    for recipe, here in by_place(sweeps, spec):
        for key in (key for key in here if sides(key.variant) == 2):
            one_sided = [other for other in here if other.variant == stem(key.variant)]
            if recipe not in {key.recipe, *(other.recipe for other in one_sided)}:
                continue
            row = key._asdict() | {"family": stem(key.variant), "recipe": recipe}
            row["multiple"] = key.width / spec.models[key.model]
            for l0 in spec.matched_levels:
                for measure in MEASURES:
                    read = probed if measure.startswith("accuracy") else sweeps
                    rate = _rate(read, key, one_sided, measure, l0)
                    rows += [row | {"l0": l0, "measure": measure} | rate] if rate else []
    return sorted(rows, key=lambda row: [row[name] for name in ORDER])


def _rate(
    sweeps: Sweeps, key: SweepKey, one_sided: list[SweepKey], measure: str, l0: float
) -> dict[str, Any]:
    """The numbers of a row; none unless two sides and two widths of one side have a value."""
    two = by_seed(sweeps, key, measure, l0)
    by_width = {other.width: by_seed(sweeps, other, measure, l0) for other in one_sided}
    known = {width: values for width, values in by_width.items() if values.size}
    if not two.size or len(known) < 2:
        return {}
    sign = MEASURES[measure]
    rate = sign_rate({width: sign * x for width, x in known.items()}, sign * two, key.width)
    row: dict[str, Any] = {
        "seeds": min(x.size for x in (two, *known.values())),
        "value": float(two.mean()),
        "rate": rate.rate,
        "rate_low": rate.low,
        "rate_high": rate.high,
        "bound": rate.bound,
        "widths": " ".join(str(width) for width in sorted(known)),
    }
    if key.width in known:
        gap = mean_difference([two], [known[key.width]])
        row |= {"one_sided": float(known[key.width].mean()), "difference": gap.value}
        row |= {"difference_low": gap.low, "difference_high": gap.high}
    return row


def by_seed(sweeps: Mapping[SweepKey, Any], key: SweepKey, measure: str, l0: float) -> Floats:
    """[seeds] float64; empty where a sweep lacks the measure, or does not reach the L0."""
    sweep = sweeps.get(key)
    if sweep is None or measure not in sweep.cells[0].values or sweep.undefined(measure):
        return np.empty(0)
    reached = sweep.frontier(measure).reaches(l0)
    return read_at(sweep, measure, l0).by_seed if reached else np.empty(0)
