"""contrasts.csv: what tying, the auxiliary loss, the second side and the width do.

Which pairs of sweeps are contrasted follows from the grid: every pair below whose two sides it
has. The candidate is the simpler side of a tie, the intact side of an ablation, the narrower side
of two widths.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from pipeline.analysis.tables.comparison import (
    ANSWERS,
    QUESTION,
    answer,
    matched_columns,
    noisy_places,
)
from pipeline.analysis.tables.sweeps import Metrics, Side, sweeps_of, sweeps_under
from pipeline.study.outputs import ABLATION, TYING, WIDTH
from pipeline.study.scope import SWEPT, Scope
from sagsae.contrasts import contrast, shared_runs
from sagsae.sweeps import Sweep

PAIRS = {
    TYING: (("sagsae_sym", "sagsae"), ("sagsae_tied", "sagsae_sym"), ("sagsae_tied", "sagsae")),
    ABLATION: (
        ("sagsae_sym", "sagsae_noaux"),
        ("sagsae_tied", "sagsae_noaux"),
        ("sagsae_sym", "sagsae_onesided"),
        ("sagsae_tied", "sagsae_onesided"),
    ),
}
"""Kind -> (candidate, baseline) at equal width. Widths: a variant at H and at 2H."""
PER_METRIC = ("candidate", "baseline", "delta", "delta_se", "delta_abs", "delta_max")
CONTRASTED = ("l0", *SWEPT)


def contrast_table(metrics: Metrics, spec: Scope) -> pd.DataFrame:
    """One row per (recipe, pair of sweeps, model, hookpoint): at equal lambda and seed, and at
    equal L0."""
    sweeps, noisy = sweeps_of(metrics), noisy_places(metrics)
    levels = spec.matched_levels
    rows = []
    for recipe in spec.trained:
        found = sweeps_under(recipe, sweeps, spec)
        for kind, candidate, baseline in _pairs(found):
            question = dict(zip(QUESTION, (recipe, *candidate, *baseline[2:]), strict=True))
            row = {"kind": kind, **question, "lr_noisy": candidate[:2] in noisy}
            row |= _at_equal_lambda(found[candidate], found[baseline])
            rows.append(row | answer(found, question, levels))
    deltas = [f"{metric}_{what}" for metric in CONTRASTED for what in PER_METRIC]
    collapses = ["pairs", "candidate_collapsed", "baseline_collapsed", "pairs_reason"]
    asked = [column for l0 in levels for column in matched_columns(l0)]
    columns = ["kind", *QUESTION, *collapses, *deltas, *ANSWERS, *asked]
    return pd.DataFrame(rows, columns=columns)


def _pairs(sweeps: dict[Side, Sweep]) -> Iterator[tuple[str, Side, Side]]:
    for kind, variants in PAIRS.items():
        for candidate, baseline in variants:
            for model, hookpoint, variant, width in sweeps:
                other = (model, hookpoint, baseline, width)
                if variant == candidate and other in sweeps:
                    yield kind, (model, hookpoint, variant, width), other
    for model, hookpoint, variant, width in sweeps:
        other = (model, hookpoint, variant, 2 * width)
        if other in sweeps:
            yield WIDTH, (model, hookpoint, variant, width), other


def _at_equal_lambda(candidate: Sweep, baseline: Sweep) -> dict[str, Any]:
    runs = set(shared_runs(candidate, baseline))
    row: dict[str, Any] = {
        "pairs": len(runs),
        "candidate_collapsed": _fallen(candidate, runs),
        "baseline_collapsed": _fallen(baseline, runs),
    }
    reasons = []
    for metric in CONTRASTED:
        found = contrast(candidate, baseline, metric)
        values = (found.candidate, found.baseline, found.mean, found.se)
        for what, value in zip(PER_METRIC, (*values, found.mean_abs, found.max_abs), strict=True):
            row[f"{metric}_{what}"] = value
        reasons.append(found.reason)
    return row | {"pairs_reason": "; ".join(dict.fromkeys(filter(None, reasons)))}


def _fallen(sweep: Sweep, runs: set[tuple[float, int]]) -> int:
    return sum(bool(cell.collapsed) for cell in sweep.cells if (cell.lam, cell.seed) in runs)
