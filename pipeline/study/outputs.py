"""Names of what a study puts out: tables, report; figures have theirs in ``figures``."""

from __future__ import annotations

METRICS, WEIGHTS, TRAINING = "metrics.json", "sae.safetensors", "training.json"
LATENT_TENSORS = "latents.safetensors"
"""Files of a cell's folder."""
CELLS, POINTS, COMPARISON = "cells.csv", "points.csv", "comparison.csv"
CONTRASTS, LATENTS, PARAMETERS = "contrasts.csv", "latents.csv", "parameters.csv"
CALIBRATION, CLAIMS = "calibration.csv", "claims.csv"
READABLE = (COMPARISON, CONTRASTS, LATENTS, PARAMETERS)
"""Tables that are also written as .md and .tex."""
TABLES = (
    *(CELLS, POINTS, COMPARISON, CONTRASTS, LATENTS, PARAMETERS, CALIBRATION),
    *(name.replace("csv", end) for name in READABLE for end in ("md", "tex")),
)
"""File names of the tables but for the claims."""
TYING, ABLATION, WIDTH = "tying", "ablation", "width"
"""Kinds of contrast."""
REPORT = "report.html"
SYNTHETIC = "synthetic"
SYNTHETIC_SUMMARY = f"{SYNTHETIC}/summary.csv"
CLAIM_TABLES = (CLAIMS, "claims.md", "claims.tex")
