"""dominance.csv: which sweep strictly dominates which, at every place under every recipe."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pandas as pd

from pipeline.analysis.tables.sweeps import sweeps_under
from pipeline.study.cell import SweepKey
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import looks
from sagsae.comparison import dominance, overlap
from sagsae.sweeps import Sweep

YES, NO, NO_RANGE = "yes", "no", "no shared range"
PLACE = ("recipe", "model", "hookpoint")
SIDES = ("series", "variant", "width")
ANSWERS = ("outcome", "min_gap", "min_gap_l0", "mean_gap", "overlap_lo", "overlap_hi")
OUTCOMES = {True: YES, False: NO, None: NO_RANGE}


def dominance_table(
    sweeps: Mapping[SweepKey, Sweep], names: Mapping[SweepKey, str], spec: Scope
) -> pd.DataFrame:
    """One row per (recipe, model, hookpoint) and ordered pair of its sweeps, in the order of
    legends. ``outcome`` says whether the first strictly dominates the second; gaps are first minus
    second.

    Args:
        sweeps: All of the study.
        names: The series of each.
        spec: Has recipes and places.
    """
    rows, order = [], list(looks(key.variant for key in sweeps))
    for recipe, places in spec.trained.items():
        found = sweeps_under(recipe, dict(sweeps), spec)
        series = {
            side: names[SweepKey(*side[:3], spec.home(recipe, side[2]), side[3])] for side in found
        }
        for place in places:
            here = [side for side in found if side[:2] == place]
            here.sort(key=lambda side: (order.index(side[2]), side[3]))
            for one, other in permutations(here, 2):
                row: dict[str, Any] = dict(zip(PLACE, (recipe, *place), strict=True))
                for prefix, side in (("", one), ("against_", other)):
                    values = (series[side], *side[2:])
                    row |= {f"{prefix}{n}": v for n, v in zip(SIDES, values, strict=True)}
                rows.append(row | _answer(found[one], found[other]))
    against = [f"against_{name}" for name in SIDES]
    return pd.DataFrame(rows, columns=[*PLACE, *SIDES, *against, *ANSWERS])


def _answer(one: Sweep, other: Sweep) -> dict[str, Any]:
    found, shared = dominance(one, other, draws=0), overlap(one, other)
    row: dict[str, Any] = {"outcome": OUTCOMES[found.dominates]}
    row |= {name: getattr(found, name) for name in ANSWERS[1:4]}
    return row | {"overlap_lo": shared.lo, "overlap_hi": shared.hi}
