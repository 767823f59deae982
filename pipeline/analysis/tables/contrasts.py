"""contrasts.csv: what tying, the auxiliary loss, the second side and the width do.

Which pairs of sweeps are contrasted follows from the grid: every pair below whose two sides it
has. The candidate is the simpler side of a tie, the intact side of an ablation, the narrower side
of two widths.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pandas as pd

from pipeline.analysis.columns import SIDES as BOTH
from pipeline.analysis.columns import Column
from pipeline.analysis.numbers import signed
from pipeline.analysis.table import Table
from pipeline.analysis.tables.comparison import QUESTION, SIDES, answers, compared
from pipeline.analysis.tables.sweeps import Metrics, joined, keys_under, sweeps_of
from pipeline.study.cell import SweepKey
from pipeline.study.scope import SWEPT, Scope
from sagsae.comparison.contrasts import contrast, shared_runs
from sagsae.comparison.sweeps import Sweep

# Kinds of contrast.
TYING, ABLATION, WIDTH = "tying", "ablation", "width"
# Kind, candidate and baseline at equal width. Widths: a variant at H and at 2H.
PAIRS = (
    (TYING, "sagsae_sym", "sagsae"),
    (TYING, "sagsae_tied", "sagsae_sym"),
    (TYING, "sagsae_tied", "sagsae"),
    (ABLATION, "sagsae_sym", "sagsae_noaux"),
    (ABLATION, "sagsae_tied", "sagsae_noaux"),
    (ABLATION, "sagsae_sym", "sagsae_onesided"),
    (ABLATION, "sagsae_tied", "sagsae_onesided"),
)
# What follows the metric in a column -> the field of a `Contrast`.
PER_METRIC = {
    "candidate": "candidate",
    "baseline": "baseline",
    "delta": "mean",
    "delta_se": "se",
    "delta_abs": "mean_abs",
    "delta_max": "max_abs",
}
CONTRASTED = ("l0", *SWEPT)
COUNTS = ["pairs", "intact_pairs", *(f"{side}_collapsed" for side in SIDES), "pairs_reason"]
CONTRASTS = Table(
    "contrasts",
    "Tying, ablations, width",
    reads="Δ is candidate minus baseline at equal lambda and seed.",
    by=["kind recipe"],
    columns=[
        f"model hookpoint {BOTH} pairs",
        Column("r2_delta_abs", "Mean |ΔR2|"),
        Column("r2_delta", "ΔR2", signed),
        Column("l0_delta", "ΔL0", signed),
        Column("dead_fraction_delta", "ΔDead", signed),
        Column("loss_recovered_delta", "ΔLoss Recovered", signed),
        "dominates mean_gap candidate_collapsed baseline_collapsed",
    ],
    texts="*_reason",
)


@CONTRASTS.made_from("cells")
def contrast_table(metrics: Metrics, spec: Scope) -> pd.DataFrame:
    """One row per (recipe, pair of sweeps, model, hookpoint): at equal lambda and seed, and at
    equal L0. Differences are over the ``intact_pairs`` of runs, of which neither side collapsed."""
    sweeps = sweeps_of(metrics)
    rows = [
        {"kind": kind}
        | compared(sweeps, recipe, candidate, baseline, spec.matched_levels)
        | _at_equal_lambda(sweeps[candidate], sweeps[baseline])
        for recipe in spec.trained
        for kind, candidate, baseline in _pairs(keys_under(recipe, sweeps, spec))
    ]
    deltas = [f"{metric}_{what}" for metric in CONTRASTED for what in PER_METRIC]
    return pd.DataFrame(rows, columns=["kind", *QUESTION, *COUNTS, *deltas, *answers(spec)])


def _pairs(under: Collection[SweepKey]) -> Iterator[tuple[str, SweepKey, SweepKey]]:
    """Kind, candidate and baseline among the sweeps under one recipe."""
    known = {(*key[:3], key.width): key for key in under}
    for kind, candidate, baseline in PAIRS:
        for key in under:
            other = known.get((*key[:2], baseline, key.width))
            if key.variant == candidate and other:
                yield kind, key, other
    for key in under:
        if other := known.get((*key[:3], 2 * key.width)):
            yield WIDTH, key, other


def _at_equal_lambda(candidate: Sweep, baseline: Sweep) -> dict[str, Any]:
    runs = set(shared_runs(candidate, baseline))
    contrasts = {metric: contrast(candidate, baseline, metric) for metric in CONTRASTED}
    row: dict[str, Any] = {
        f"{metric}_{what}": getattr(values, name)
        for metric, values in contrasts.items()
        for what, name in PER_METRIC.items()
    }
    for side, sweep in zip(SIDES, (candidate, baseline), strict=True):
        shared = (cell for cell in sweep.cells if (cell.lam, cell.seed) in runs)
        row[f"{side}_collapsed"] = sum(bool(cell.collapsed) for cell in shared)
    reason = joined(values.reason for values in contrasts.values())
    return row | {"pairs": len(runs), "intact_pairs": contrasts["l0"].pairs, "pairs_reason": reason}
