"""A made-up study with every variant at every width that the paper compares, and known answers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pipeline.study.cell import Cell
from pipeline.study.study import Study
from tests.pipeline.conftest import metrics_of, write_metrics

LAMBDAS = [0.05, 0.1, 0.2]
LIFT = {
    "gated": 0.0,
    "sagsae": 0.0405,
    "sagsae_sym": 0.0395,
    "sagsae_tied": 0.04,
    "sagsae_noaux": -0.5,
    "sagsae_onesided": -0.06,
}
"""R2 above the Gated curve at equal L0."""
WIDTHS = {"gated": (2, 4), "sagsae_tied": (2, 4)}
"""Widths in multiples of d_model of the variants that have two."""
DEAD = {"gated": 0.6, "sagsae_noaux": 0.98}
LOSS_RECOVERED = {"sagsae_noaux": 0.27}


def configuration(**changes: Any) -> dict[str, Any]:
    """The study's configuration: two models of random weights that are never made."""
    grid = [
        {
            "variant": variant,
            "expansion": width,
            "lambdas": LAMBDAS,
            "seeds": [0, 1, 2] if (variant, width) in MAIN else [0],
        }
        for variant in LIFT
        for width in WIDTHS.get(variant, (2,))
    ]
    source = {"kind": "random", "architecture": "gpt_neox", "parameters": {"num_hidden_layers": 2}}
    models = [("small", 64), ("large", 96)]
    return {
        "study": "made-grid",
        "note": "Made-up numbers.",
        "claims": "sa_gsae",
        "models": [
            {"name": name, "source": source, "d_model": d, "layer": 1} for name, d in models
        ],
        "hookpoints": ["mlp_out", "attn", "resid"],
        "text": {"source": {"kind": "random", "documents": 100, "words": 20}},
        "dump": {"train_rows": 8192, "heldout_rows": 8192},
        "grid": grid,
        "training": {"tokens": 819200},
        "comparisons": [
            {
                "candidate": {"variant": "sagsae_tied", "expansion": 2},
                "baseline": {"variant": "gated", "expansion": 4},
                "matched_l0": [64],
            }
        ],
    } | changes


MAIN = {("sagsae_tied", 2), ("gated", 4)}


def result(cell: Cell, d_model: int) -> dict[str, Any]:
    """The metrics of a cell: R2 linear in log L0, lifted by variant; the candidate loses at attn
    of the small model by 0.01."""
    variant, full = cell.variant, cell.width == 4 * d_model
    l0 = (8 / cell.lam) * (1 + 0.01 * cell.seed)
    lift = LIFT[variant] + 0.001 * (cell.seed - 1)
    if (cell.model, cell.hookpoint) == ("small", "attn") and variant != "gated":
        lift -= 0.05
    r2 = 0.6 + 0.1 * math.log(l0 / 80) + lift - (0.0 if full else 0.02 * (variant == "gated"))
    collapsed = ["R2 below 0.2"] if r2 < 0.2 else []
    if variant == "sagsae_tied" and full and cell.hookpoint == "resid" and cell.lam == 0.2:
        r2, collapsed = 0.1, ["R2 below 0.2"]
    dead = round(DEAD.get(variant, 0.002) * cell.width)
    found = metrics_of(cell, d_model, l0=l0, r2=r2, dead=dead)
    found["loss_recovered"] = LOSS_RECOVERED.get(variant, 0.8 + 0.03 * math.log(l0))
    found["lr_noisy"] = False
    found["collapsed"] = collapsed
    if variant == "gated":
        found["bipolar_fraction"] = found["bipolar_firing_share"] = 0.0
    elif cell.hookpoint == "attn":
        found["bipolar_fraction"] = 0.3
    return found


def make_grid(results: Path, **changes: Any) -> Study:
    """Write the metrics of every cell below ``results``."""
    study = Study.from_dict(configuration(**changes) | {"results": str(results)})
    write_metrics(study, result)
    return study
