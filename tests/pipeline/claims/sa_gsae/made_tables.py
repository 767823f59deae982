"""Small tables from which claims are judged, with only the columns that judges read."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipeline.claims.claim import Claim
from pipeline.claims.evidence import Evidence
from pipeline.study.scope import Scope

CANDIDATE = {"variant": "sagsae_tied", "expansion": 2.0, "width": None}
BASELINE = {"variant": "gated", "expansion": 4.0, "width": None}
NONE: dict[str, list[Any]] = {
    "contrasts": ["recipe", "kind", "candidate_variant", "baseline_variant", "model", "hookpoint"],
    "latents": ["model", "hookpoint", "variant", "recipe", "width", "quantity", "cells"],
    "parameters": ["model", "hookpoint", "variant", "recipe", "width", "two_sided_share"],
    "cells": ["model", "hookpoint", "variant", "recipe", "width", "lam", "seed", "collapsed"],
}
"""Columns of the tables that a test leaves empty."""


def spec(**changes: Any) -> Scope:
    comparison = {"candidate": CANDIDATE, "baseline": BASELINE, "matched_l0": [32.0, 64.0]}
    values = {
        "made_for": {"cells": {}},
        "comparisons": [comparison],
        "models": {"small": 64, "large": 96},
        "hookpoints": ["mlp_out", "attn", "resid"],
    }
    return Scope.model_validate(values | changes)


def pair(model: str = "small", hookpoint: str = "mlp_out", **values: Any) -> dict[str, Any]:
    """A row of comparison.csv: the tied variant at H = 128 against Gated of twice that."""
    return {
        "comparison": 1,
        "recipe": "",
        "model": model,
        "hookpoint": hookpoint,
        "candidate_variant": "sagsae_tied",
        "candidate_width": 128,
        "baseline_variant": "gated",
        "baseline_width": 256,
        "overlap_reason": "",
        "dominates": True,
        "p_dominance": 0.98,
        "min_gap": 0.02,
        "min_gap_se": 0.001,
        "mean_gap": 0.03,
    } | values


def evidence(*pairs: dict[str, Any], **tables: list[dict[str, Any]] | None) -> Evidence:
    """The evidence of some pairs (one if none is given) and of the rows of other tables."""
    frames = {
        name: pd.DataFrame(tables.get(name) or [], columns=None if tables.get(name) else columns)
        for name, columns in NONE.items()
    }
    for frame in frames.values():
        if "recipe" not in frame:
            frame["recipe"] = ""
        if "dominates" in frame:
            frame["dominates"] = frame["dominates"].astype("boolean")
    comparison = pd.DataFrame(list(pairs) or [pair()])
    comparison["dominates"] = comparison["dominates"].astype("boolean")
    made_up = tables.get("synthetic")
    synthetic = None if made_up is None else pd.DataFrame(made_up)
    dial = None if tables.get("dial") is None else pd.DataFrame(tables["dial"])
    beside = {"synthetic": synthetic, "dial": dial}
    return Evidence(spec=spec(), comparison=comparison, **beside, **frames)


def outcome(claim: Claim, tables: Evidence) -> str:
    """The outcome alone: texts are those of the committed studies."""
    return claim.verdict(tables).outcome
