"""Made-up results of probes whose means are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pipeline.jobs.json_files import digest, read_json, write_json
from pipeline.study.cell import Cell
from pipeline.study.probe import ProbeRun, ProbeSpec
from pipeline.study.study import Study

KS = [1, 5]
LABELS = {"letter.a": (0.9, 0.9), "letter.b": (0.8, 0.5), "digit.digit": (1.0, 1.0)}
"""Name -> accuracy and F1 of a probe on whole activations; the second letter is not judged."""


def accuracy(cell: Cell, label: str, k: int, l0: float) -> float:
    """Linear in log L0; sign-aware latents are better by 0.1, digits by 0.05, k = 5 by 0.2."""
    found = 0.5 + 0.02 * math.log(l0) + 0.1 * (cell.variant != "gated")
    return found + 0.05 * (label == "digit.digit") + 0.2 * (k == 5)


def probed(cell: Cell, l0: float) -> dict[str, Any]:
    """One cell: of five sides, two are of one latent where it has two signs."""
    judged = {"main": [3, 2 * cell.width - 1], "rows": 40, "fraction": 1 / l0, "full": 0.125}
    return {
        "cell": cell,
        "l0": l0,
        "weights_sha256": "4" * 64,
        "live_sides": 20,
        "live_latents": 20 if cell.variant == "gated" else 12,
        "labels": [
            {
                "accuracy": [accuracy(cell, label, k, l0) for k in KS],
                "latents": [1, 5 if cell.variant == "gated" else 4],
                "sides": [3, cell.width + 1, 1, 7, 8],
                "absorption": judged if label == "letter.a" else None,
            }
            for label in LABELS
        ],
    }


def usual_l0(cell: Cell) -> float:
    """8 / lambda, or k."""
    return 8 / cell.lam if cell.lam else float(cell.knob)


def made_run(spec: ProbeSpec, l0: dict[Cell, float] | None = None) -> ProbeRun:
    """One job's result; L0 is 8 / lambda, or k, unless given."""
    labels = [
        {
            "name": name,
            "train": 400,
            "test": 100,
            "dense": own,
            "dense_f1": f1,
            "neurons": [0.6, 0.7],
        }
        for name, (own, f1) in LABELS.items()
    ]
    known = l0 or {cell: usual_l0(cell) for cell in spec.cells}
    return ProbeRun.model_validate(
        {
            "spec": digest(spec),
            **{name: getattr(spec, name) for name in ("recipe", "model", "hookpoint", "seed")},
            "ks": KS,
            "rows": 1000,
            "labels": labels,
            "left_out": ["letter.q"],
            "cells": [probed(cell, known[cell]) for cell in spec.cells],
        }
    )


def make_probes(study: Study) -> None:
    """Write the result of every job that a study's probes have, with the L0 of the metrics that are
    there."""
    for look, spec in study.looks["probe"].items():
        paths = {cell: Path(study.metrics(cell)) for cell in spec.cells}
        l0 = {
            cell: read_json(path)["l0"] if path.exists() else usual_l0(cell)
            for cell, path in paths.items()
        }
        Path(study.look_file("probe", look)).parent.mkdir(parents=True, exist_ok=True)
        write_json(study.look_file("probe", look), made_run(spec, l0).model_dump())
