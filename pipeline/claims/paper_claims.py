"""The paper's claims and numbers (arXiv 2605.28149), as its two versions' abstracts state them.

v1 is of May 2026, v2 of August 2026. The protocols' claims are those of section titles and figure
captions, which give no number. Nothing else in this project repeats a number of the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

V1, V2, CAPTION = "abstract, v1", "abstract, v2", "captions"


@dataclass(frozen=True, kw_only=True)
class PaperClaim:
    """One claim."""

    key: str
    """Name of the claim and of the rule that judges it."""
    statement: str
    paper: str
    """The paper's number in words; empty where the paper gives none that is at hand."""
    source: str
    values: Mapping[str, float] = field(default_factory=dict)
    """The numbers that the rule compares with."""


CLAIMS = (
    PaperClaim(
        key="dominance",
        statement="Half-width SA-GSAE strictly dominates full-width Gated in R2 over the whole "
        "swept L0 overlap on half of the (model, hookpoint) pairs",
        paper="3 of 6 pairs",
        source=V1,
        values={"share": 0.5},
    ),
    PaperClaim(
        key="dominance_where",
        statement="It does so at every MLP output and at one residual stream",
        paper="both mlp_out, resid of Pythia-1B",
        source=V1,
    ),
    PaperClaim(
        key="rest_within",
        statement="Where it does not dominate, R2 is matched",
        paper="within 0.025 on the other 3",
        source=V1,
        values={"within": 0.025},
    ),
    PaperClaim(
        key="rest_gap",
        statement="Where it does not dominate, the largest negative gap is small",
        paper="-0.008",
        source=V1,
        values={"gap": -0.008},
    ),
    PaperClaim(
        key="dead_rest",
        statement="Where it does not dominate, far fewer latents are dead",
        paper="dead fraction lower by 0.35 to 0.62",
        source=V1,
        values={"least": 0.35},
    ),
    PaperClaim(
        key="dead_matched",
        statement="At L0 = 64 far fewer latents are dead on every pair",
        paper="dead fraction lower by 0.35 to 0.82 on all 6",
        source=V2,
        values={"least": 0.35, "l0": 64},
    ),
    PaperClaim(
        key="dead_mlp",
        statement="At MLP outputs the dead fraction falls by two orders of magnitude",
        paper="100x to 500x on mlp_out (and resid of Pythia-1B), geometric mean",
        source=V1,
        values={"least": 100},
    ),
    PaperClaim(
        key="dead_other",
        statement="At attention outputs and residual streams it falls by a small factor at least",
        paper="2x to 4x on attn and resid of SmolLM3-3B, geometric mean",
        source=V1,
        values={"least": 2},
    ),
    PaperClaim(
        key="no_auxiliary",
        statement="Without the auxiliary loss the gate collapses",
        paper="Loss Recovered falls to 0.27",
        source=V1,
        values={"loss_recovered": 0.27},
    ),
    PaperClaim(
        key="no_auxiliary_dead",
        statement="Without the auxiliary loss nearly all latents are dead",
        paper="98 % dead",
        source=V1,
        values={"dead": 0.98},
    ),
    PaperClaim(
        key="two_sided",
        statement="The two-sided gate is load-bearing",
        paper="",
        source=V1,
    ),
    PaperClaim(
        key="tied_radii",
        statement="Tying the two magnitude radii changes nothing",
        paper="|ΔR2| = 0.0015",
        source=V1,
        values={"delta": 0.0015},
    ),
    PaperClaim(
        key="tied_all",
        statement="Tying radii, thresholds and offsets, the default of v2, changes nothing either",
        paper="",
        source=V2,
        values={"delta": 0.0015},
    ),
    PaperClaim(
        key="full_width",
        statement="Full-width SA-GSAE reproducibly collapses at a residual stream",
        paper="at resid of SmolLM3-3B; v2: small initial thresholds and resets prevent it",
        source=V1,
    ),
    PaperClaim(
        key="half_width",
        statement="Half-width SA-GSAE never collapses",
        paper="never",
        source=V1,
    ),
    PaperClaim(
        key="parameters",
        statement="Sign-awareness pays for its parameters even where two-sided latents are rare",
        paper="",
        source=V1,
    ),
    PaperClaim(
        key="mlp_polarity",
        statement="At MLP outputs most latents carry both polarities",
        paper="most",
        source=V1,
        values={"share": 0.5},
    ),
    PaperClaim(
        key="attn_top",
        statement="At attention outputs two-sidedness concentrates in a few top latents",
        paper="a small set of top latents",
        source=V1,
    ),
    PaperClaim(
        key="causal_dial",
        statement="A single signed latent is a bidirectional causal dial",
        paper="",
        source=V2,
    ),
    PaperClaim(
        key="protocol_a",
        statement="Protocol A: one latent is calibrated on both signs of an asymmetric axis",
        paper="",
        source=CAPTION,
    ),
    PaperClaim(
        key="protocol_b",
        statement="Protocol B: under a strict budget of latents, anomalies of both directions show",
        paper="",
        source=CAPTION,
    ),
    PaperClaim(
        key="protocol_c",
        statement="Protocol C: opposite features are consolidated into one signed latent",
        paper="",
        source=CAPTION,
    ),
    PaperClaim(
        key="robustness",
        statement="Consolidation withstands correlation within a pair",
        paper="",
        source=CAPTION,
    ),
)
