"""The comparison that the paper's claims are about: half-width SA-GSAE with full-width Gated."""

from __future__ import annotations

import pandas as pd

from pipeline.claims.claim import Untestable, measured
from pipeline.claims.evidence import Evidence
from pipeline.study.settings import SIGN_AWARE

# Sources.
V1, V2, CAPTION = "abstract, v1", "abstract, v2", "captions"
NO_MAIN = "no comparison of a sign-aware variant with Gated of twice its width"
NO_RANGE = "no common L0 range"


def main_comparison(evidence: Evidence) -> pd.DataFrame:
    """Rows of the first comparison of an intact sign-aware variant with Gated of twice its width;
    none where the study has no such comparison."""
    table = evidence.own
    fits = (
        table["candidate_variant"].isin(SIGN_AWARE)
        & (table["baseline_variant"] == "gated")
        & (2 * table["candidate_width"] == table["baseline_width"])
    )
    numbers = table.loc[fits, "comparison"]
    return table[fits & (table["comparison"] == numbers.min())]


def compared(evidence: Evidence) -> pd.DataFrame:
    """Those with a common L0 range; raises Untestable where there are none."""
    rows = measured(main_comparison(evidence), NO_MAIN)
    if rows["dominates"].isna().all():
        reasons = dict.fromkeys(reason for reason in rows["overlap_reason"] if reason)
        raise Untestable("; ".join(reasons))
    return rows[rows["dominates"].notna()]


def rest(evidence: Evidence) -> pd.DataFrame:
    """Those where the candidate does not dominate; raises Untestable where there are none."""
    rows = compared(evidence)
    rows = rows[~rows["dominates"].astype(bool)]
    if rows.empty:
        raise Untestable("it strictly dominates on every pair compared: none is left")
    return rows


def candidate_only(evidence: Evidence, table: pd.DataFrame, side: str = "") -> pd.DataFrame:
    """Rows of a table of sweeps that are the main comparison's candidate.

    Args:
        evidence: What the comparison stands in.
        table: Has the sweeps.
        side: Begins the columns of their variants and widths.
    """
    names = ["model", "hookpoint", f"{side}variant", f"{side}width"]
    sides = ["model", "hookpoint", "candidate_variant", "candidate_width"]
    candidates = pd.MultiIndex.from_frame(main_comparison(evidence)[sides])
    return table[pd.MultiIndex.from_frame(table[names]).isin(candidates)]
