"""dominance.csv: which sweep strictly dominates which, at every place under every recipe."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import pandas as pd

from pipeline.analysis.tables.sweeps import keys_under
from pipeline.study.cell import SweepKey
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import looks
from sagsae.comparison import dominance, overlap
from sagsae.sweeps import Sweep

YES, NO, NO_RANGE = "yes", "no", "no shared range"
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
        under = sorted(
            keys_under(recipe, sweeps, spec), key=lambda key: (order.index(key.variant), key.width)
        )
        for place in places:
            for one, other in permutations([key for key in under if key[:2] == place], 2):
                pair = sweeps[one], sweeps[other]
                found, shared = dominance(*pair, draws=0), overlap(*pair)
                rows.append(
                    {
                        "recipe": recipe,
                        "model": one.model,
                        "hookpoint": one.hookpoint,
                        "series": names[one],
                        "variant": one.variant,
                        "width": one.width,
                        "against_series": names[other],
                        "against_variant": other.variant,
                        "against_width": other.width,
                        "outcome": OUTCOMES[found.dominates],
                        "min_gap": found.min_gap,
                        "min_gap_l0": found.min_gap_l0,
                        "mean_gap": found.mean_gap,
                        "overlap_lo": shared.lo,
                        "overlap_hi": shared.hi,
                    }
                )
    return pd.DataFrame(rows)
