"""Claims of the paper on Sign-Aware Gated SAEs: arXiv 2605.28149, v1 of May 2026, v2 of August
2026, its abstracts and figure captions. The criteria are this project's own."""

from __future__ import annotations

from pipeline.claims.claim import Claim
from pipeline.claims.evidence import EQUAL_L0, Evidence
from pipeline.claims.sa_gsae import parts, protocols, sweeps

LIMITS = (
    "The rules that decide the claims are this project's. The paper's models are Pythia-1B and "
    "SmolLM3-3B, so a rule asks for what a claim says of any models.",
)


def dead_in_baseline(evidence: Evidence) -> str:
    """How many pairs have a baseline with dead latents, without which nothing can be said of fewer
    dead ones: such as "4 of 6 pairs"; empty where nothing is compared."""
    rows = sweeps.main_comparison(evidence)
    if rows.empty or f"{EQUAL_L0}ceiling" not in rows:
        return ""
    some = rows["dead_ceiling"].notna() | rows[f"{EQUAL_L0}ceiling"].notna()
    return f"{some.sum()} of {len(rows)} pairs"


BESIDE = {"dead_in_baseline": dead_in_baseline}
CLAIMS = [
    value
    for module in (sweeps, parts, protocols)
    for value in vars(module).values()
    if isinstance(value, Claim)
]
