"""sign_rates.csv: how many one-sided latents a two-sided one is worth, by several measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.analysis.table import Table
from pipeline.analysis.tables.ranking import ALL_SWEEPS
from pipeline.analysis.tables.sweeps import Sweeps, by_place
from pipeline.study.cell import SweepKey
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import sides, stem
from sagsae.comparison.frontiers import Floats
from sagsae.comparison.ranking import read_at
from sagsae.comparison.sign_rates import mean_difference, sign_rate

# Measure -> 1 where higher is better, -1 where lower is.
MEASURES = {"r2": 1, "loss_added": -1, "kl": -1, "accuracy_1": 1}
ORDER = ["family", "variant", "recipe", "l0", "measure"]
SIGN_RATES = Table(
    "sign_rates",
    "What a sign is worth in width",
    reads="Rate: the width at which one side does as well as two, over the width of two. An "
    "interval holds 95 % of draws of seeds; an empty end lies beyond the widths trained.",
    header="family variant recipe l0 measure model hookpoint width multiple seeds value one_sided "
    "difference difference_low difference_high equal_within rate rate_low rate_high bound widths",
    by=["recipe l0 family measure"],
    columns=[
        "model hookpoint width multiple seeds value one_sided difference difference_low",
        "difference_high equal_within rate rate_low rate_high bound",
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
    one = {other.width: by_seed(sweeps, other, measure, l0) for other in one_sided}
    known = {width: values for width, values in one.items() if values.size}
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
        row |= {"equal_within": gap.equal_within if measure == "r2" else None}
    return row


def by_seed(sweeps: Mapping[SweepKey, Any], key: SweepKey, measure: str, l0: float) -> Floats:
    """[seeds] float64; empty where a sweep lacks the measure, or does not reach the L0."""
    sweep = sweeps.get(key)
    if sweep is None or measure not in sweep.cells[0].values or sweep.undefined(measure):
        return np.empty(0)
    reached = sweep.frontier(measure).reaches(l0)
    return read_at(sweep, measure, l0).by_seed if reached else np.empty(0)
