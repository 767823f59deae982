"""sign_rates.csv: how many one-sided latents a two-sided one is worth, by several measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.table import Table
from pipeline.analysis.tables.all_sweeps import ALL_SWEEPS
from pipeline.analysis.tables.sweeps import Sweeps, by_place
from pipeline.study.cell import SweepKey
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import sides, stem
from sagsae.comparison.ranking import read_at
from sagsae.comparison.sign_rates import mean_difference, sign_rate
from sagsae.comparison.sweeps import Floats

# Measure -> 1 where higher is better, -1 where lower is.
MEASURES = {"r2": 1, "loss_added": -1, "kl": -1, "accuracy_1": 1}
COLUMNS = (
    *("family", "variant", "recipe", "l0", "measure", "model", "hookpoint", "width", "multiple"),
    *("seeds", "value", "one_sided", "difference", "difference_low", "difference_high"),
    *("equal_within", "rate", "rate_low", "rate_high", "bound", "widths"),
)
WHOLE = ("width", "seeds")
SIGN_RATES = Table(
    "sign_rates",
    "What a sign is worth in width",
    reads="Rate: the width at which one side does as well as two, over the width of two. An "
    "interval holds 95 % of draws of seeds; an empty end lies beyond the widths trained.",
    by=["recipe l0 family measure"],
    columns=[
        "model hookpoint width multiple seeds value one_sided difference difference_low",
        "difference_high equal_within rate rate_low rate_high bound",
    ],
    when=lambda spec: spec.has_sign_rates,
)


@SIGN_RATES.made_from(ALL_SWEEPS)
def sign_rate_table(sweeps: Sweeps, probed: Sweeps, spec: Scope) -> pd.DataFrame:
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
        for key in here:
            witnesses = [other for other in here if other.variant == stem(key.variant)]
            own = recipe in {key.recipe, *(other.recipe for other in witnesses)}
            if sides(key.variant) == 2 and own and len(witnesses) > 1:
                for l0 in spec.matched_levels:
                    for measure in MEASURES:
                        of = probed if measure.startswith("accuracy") else sweeps
                        found = _rate(of, key, witnesses, measure, l0)
                        named = {"recipe": recipe, "l0": l0, "measure": measure}
                        rows += [named | found | _place(key, spec)] if found else []
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(WHOLE, "Int64"))
    order = ["family", "variant", "recipe", "l0", "measure"]
    return table.sort_values(order, kind="stable", ignore_index=True)


def _place(key: SweepKey, spec: Scope) -> dict[str, Any]:
    named = {"family": stem(key.variant), "variant": key.variant, "width": key.width}
    named |= {"model": key.model, "hookpoint": key.hookpoint}
    return named | {"multiple": key.width / spec.models[key.model]}


def _rate(
    sweeps: Sweeps, key: SweepKey, witnesses: list[SweepKey], measure: str, l0: float
) -> dict[str, Any]:
    """The numbers of a row; none where one side or the other has no value."""
    two = by_seed(sweeps, key, measure, l0)
    one = {other.width: by_seed(sweeps, other, measure, l0) for other in witnesses}
    known = {width: values for width, values in one.items() if values.size}
    if not two.size or len(known) < 2:
        return {}
    sign = MEASURES[measure]
    found = sign_rate({width: sign * x for width, x in known.items()}, sign * two, key.width)
    row: dict[str, Any] = {
        "seeds": min(x.size for x in (two, *known.values())),
        "value": float(two.mean()),
        "rate": found.rate,
        "rate_low": found.low,
        "rate_high": found.high,
        "bound": found.bound,
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
    if not sweep.frontier(measure).reaches(l0):
        return np.empty(0)
    return read_at(sweep, measure, l0).by_seed
