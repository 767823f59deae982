"""Claims about parts of a variant and about its width. Criteria stand in ``claims``."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from pipeline.claims.evidence import (
    SIGN_AWARE,
    Evidence,
    Verdict,
    decided,
    over_seeds,
    shown,
    untestable,
)
from pipeline.study.outputs import ABLATION, TYING
from pipeline.text.numbers import plain, span

Values = Mapping[str, float]


def _ablated(evidence: Evidence, variant: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Contrasts of an intact variant with an ablated one, and the ablated one's cells."""
    rows = evidence.contrast(ABLATION, ("sagsae_sym", "sagsae_tied"), variant)
    return rows, evidence.cells[evidence.cells["variant"] == variant]


def no_auxiliary(evidence: Evidence, values: Values) -> Verdict:
    rows, cells = _ablated(evidence, "sagsae_noaux")
    if rows.empty:
        return untestable("the grid has no sagsae_noaux beside an intact variant of its width")
    without, intact, runs = (
        int(rows[name].sum()) for name in ("baseline_collapsed", "candidate_collapsed", "pairs")
    )
    here = f"{without} of {runs} runs collapse, {intact} with it"
    usable = cells[~cells["lr_noisy"] & cells["loss_recovered"].notna()]
    if len(usable):
        here += f"; Loss Recovered {shown(over_seeds(usable, 'loss_recovered'))}, "
        with_it = rows.loc[~rows["lr_noisy"], "loss_recovered_candidate"].mean()
        here += f"{plain(with_it)} with it"
    return decided(2 * without > runs and intact == 0, here)


def no_auxiliary_dead(evidence: Evidence, values: Values) -> Verdict:
    rows, cells = _ablated(evidence, "sagsae_noaux")
    if rows.empty:
        return untestable("the grid has no sagsae_noaux beside an intact variant of its width")
    found = over_seeds(cells, "dead_fraction")
    here = f"{shown(found)} dead, {plain(rows['dead_fraction_candidate'].mean())} with it"
    return decided(found.mean >= 0.95, here)


def two_sided(evidence: Evidence, values: Values) -> Verdict:
    rows, _ = _ablated(evidence, "sagsae_onesided")
    answered = rows[rows["dominates"].notna()]
    if answered.empty:
        return untestable("the grid has no sagsae_onesided that shares L0 with an intact variant")
    wins = int(answered["dominates"].astype(bool).sum())
    here = f"the intact gate dominates on {wins} of {len(answered)} pairs, mean R2 gap "
    here += span(answered["mean_gap"])
    dead = ", ".join(
        f"{plain(rows[f'dead_fraction_{side}'].mean())} {words}"
        for side, words in (("candidate", "with both sides"), ("baseline", "with one"))
    )
    return decided(wins == len(answered), here, f"mean dead fraction {dead}")


MATCH = 0.005
"""Mean |ΔR2| up to which two variants count as indistinguishable: a fifth of the 0.025 that the
paper calls a match."""


def _tied(evidence: Evidence, candidate: str, baseline: str) -> Verdict:
    rows = evidence.contrast(TYING, (candidate,), baseline)
    rows = rows[rows["pairs"] > 0]
    if rows.empty:
        return untestable(f"the grid has no {candidate} and {baseline} at equal width and lambda")
    weights = rows["pairs"] / rows["pairs"].sum()
    mean = float((rows["r2_delta_abs"] * weights).sum())
    here = f"mean |ΔR2| {plain(mean)} over {rows['pairs'].sum():.0f} runs at equal lambda and seed"
    here += f", largest {plain(rows['r2_delta_max'].max())}"
    error = rows["r2_delta_se"].dropna()
    here += f", standard error at most {plain(error.max())}" if len(error) else " (one seed)"
    why = f"R2 gap at equal L0 {span(rows['mean_gap'])}" if rows["mean_gap"].notna().any() else ""
    return decided(mean <= MATCH, here, why)


def tied_radii(evidence: Evidence, values: Values) -> Verdict:
    return _tied(evidence, "sagsae_sym", "sagsae")


def tied_all(evidence: Evidence, values: Values) -> Verdict:
    return _tied(evidence, "sagsae_tied", "sagsae")


def full_width(evidence: Evidence, values: Values) -> Verdict:
    rows = evidence.widths[evidence.widths["hookpoint"] == "resid"]
    if rows.empty:
        return untestable("the grid has no sign-aware variant at 2H beside itself at H at resid")
    counts = {name: int(rows[f"{name}_collapsed"].sum()) for name in ("baseline", "candidate")}
    runs = int(rows["pairs"].sum())
    here = f"{counts['baseline']} of {runs} runs at 2H collapse, {counts['candidate']} at H"
    found = bool((rows["baseline_collapsed"] > rows["candidate_collapsed"]).any())
    why = "thresholds start small here, which v2 says prevents it"
    return decided(found, here, "" if found else why)


def half_width(evidence: Evidence, values: Values) -> Verdict:
    widths = evidence.main[["model", "candidate_width"]].drop_duplicates()
    cells = evidence.cells.merge(
        widths, left_on=["model", "width"], right_on=["model", "candidate_width"]
    )
    cells = cells[cells["variant"].isin(SIGN_AWARE)]
    if cells.empty:
        return untestable(evidence.no_main)
    fallen = cells[cells["collapsed"] != ""]
    names = ", ".join(
        f"{row['model']} {row['hookpoint']} {row['variant']} lambda {row['lam']:g}"
        for _, row in fallen.iterrows()
    )
    return decided(fallen.empty, f"{len(fallen)} of {len(cells)} runs collapse", names)
