"""Claims of the paper on Sign-Aware Gated SAEs: arXiv 2605.28149, v1 of May 2026, v2 of August
2026, its abstracts and figure captions. The criteria are this project's own."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from types import ModuleType

from pipeline.analysis.tables.sweeps import SWEEP
from pipeline.claims.claim import Claim
from pipeline.claims.evidence import EQUAL_L0, Evidence
from pipeline.claims.sa_gsae import latents, parts, protocols, sweeps
from pipeline.claims.sa_gsae.compared import main_comparison
from pipeline.study.settings import PAPER_FAMILY
from sagsae.autoencoders.registry import stem

LIMITS = (
    "The rules that decide the claims are this project's. The paper's models are Pythia-1B and "
    "SmolLM3-3B, so a rule asks for what a claim says of any models.",
)


def trained(evidence: Evidence) -> Hashable:
    """The cells under a setting of the paper's variants, but those of Gated: on these alone rest
    claims that make no comparison with Gated."""
    cells = evidence.cells
    own = cells[(cells["variant"].map(stem) == PAPER_FAMILY) & (cells["variant"] != "gated")]
    return frozenset(own[[*SWEEP, "lam", "seed"]].itertuples(index=False, name=None))


def made_up(_: Evidence) -> Hashable:
    """Made-up data are one run, whatever the setting."""
    return ()


def dead_in_baseline(evidence: Evidence) -> str:
    """How many pairs have a baseline with dead latents, without which nothing can be said of fewer
    dead ones: such as "4 of 6 pairs"; empty where nothing is compared."""
    rows = main_comparison(evidence)
    if rows.empty or f"{EQUAL_L0}ceiling" not in rows:
        return ""
    some = rows["dead_ceiling"].notna() | rows[f"{EQUAL_L0}ceiling"].notna()
    return f"{some.sum()} of {len(rows)} pairs"


def _of(module: ModuleType) -> list[Claim]:
    return [value for value in vars(module).values() if isinstance(value, Claim)]


BESIDE = {"dead_in_baseline": dead_in_baseline}
CLAIMS = [
    *_of(sweeps),
    *(replace(claim, rests_on=trained) for claim in _of(parts)),
    latents.parameters,
    *(replace(claim, rests_on=trained) for claim in _of(latents)[1:]),
    *(replace(claim, rests_on=made_up) for claim in _of(protocols)),
]
