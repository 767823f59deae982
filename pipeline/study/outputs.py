"""Names of what a study puts out: tables, figures, report."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.config.study_config import StudyConfig
from pipeline.study.cell import Cell

METRICS, WEIGHTS, TRAINING = "metrics.json", "sae.safetensors", "training.json"
LATENT_TENSORS = "latents.safetensors"
"""Files of a cell's folder."""
STATE, TRAINED = ".state", "trained.json"
"""Folder of a cell for what later jobs reuse, and the record of the weights in it."""
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

FIGURES = ("figure_2", "figure_3", "figure_11", "figure_r2")
"""Figures of a study, numbered as in the paper; the paper has none of R2 against L0."""
FIGURE_FILES = ("png", "svg", "csv")
VARIANTS_SUFFIX = "_variants"
"""Ends the name of the same figure with every sweep of the grid."""


def figure_names(config: StudyConfig, cells: Iterable[Cell]) -> tuple[str, ...]:
    """The main comparison in figures of their own, and all sweeps where there are others."""
    main = config.comparisons[:1]
    sides = {
        (model.name, side.variant, side.width_for(model.d_model))
        for item in main
        for side in (item.candidate, item.baseline)
        for model in config.models
    }
    others = any((cell.model, cell.variant, cell.width) not in sides for cell in cells)
    return FIGURES + (tuple(name + VARIANTS_SUFFIX for name in FIGURES) if main and others else ())
