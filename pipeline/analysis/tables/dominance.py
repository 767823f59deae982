"""dominance.csv: which sweep strictly dominates which, at every place under every recipe."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pandas as pd

from pipeline.analysis.tables.sweeps import Sweeps, keys_under
from pipeline.study.cell import SweepKey
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import looks
from sagsae.comparison import dominance, overlap

YES, NO, NO_RANGE = "yes", "no", "no shared range"
GAPS = ("min_gap", "min_gap_l0", "mean_gap")
OUTCOMES = {True: YES, False: NO, None: NO_RANGE}


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
    for recipe, places in spec.trained.items():
        under = sorted(
            keys_under(recipe, sweeps, spec), key=lambda key: (order.index(key.variant), key.width)
        )
        for place in places:
            for one, other in permutations([key for key in under if key[:2] == place], 2):
                pair = sweeps[one], sweeps[other]
                found, shared = dominance(*pair, draws=0), overlap(*pair)
                row: dict[str, Any] = {"recipe": recipe}
                row |= {"model": one.model, "hookpoint": one.hookpoint}
                for side, key in (("", one), ("against_", other)):
                    row |= {f"{side}series": names[key], f"{side}variant": key.variant}
                    row |= {f"{side}width": key.width}
                row |= {"outcome": OUTCOMES[found.dominates]}
                row |= {name: getattr(found, name) for name in GAPS}
                rows.append(row | {"overlap_lo": shared.lo, "overlap_hi": shared.hi})
    return pd.DataFrame(rows)
