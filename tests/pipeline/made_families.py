"""Made-up studies of several families of variants, with known answers."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.study.cell import Cell
from pipeline.study.study import Study
from sagsae.autoencoders.registry import sides, stem
from tests.pipeline.conftest import MadeStudy, metrics_of, write_metrics
from tests.pipeline.made_grid import configuration
from tests.pipeline.made_probes import make_probes

KS, LAMBDAS = [16, 64, 128], [0.05, 0.1, 0.2]
LIFT = {"gated": 0.0, "relu": -0.1, "topk": 0.02, "batchtopk": 0.04}
LIFT |= {"jumprelu": 0.05, "matryoshka_batchtopk": -0.02}
"""R2 of the one-sided variants above a common curve at equal L0."""
TWO_SIDES = 0.015
"""R2 of a two-sided form of half the width above its one-sided form."""
PLAIN = {"matched": {"note": "All alike.", "training": {"lr_decay_fraction": 0.1}}}
PLAIN["paper"] = {
    "note": "As their papers do.",
    "extends": "matched",
    "variants": ["topk", "abstopk", "batchtopk", "absbatchtopk"],
    "training": {"lr_decay_fraction": 0},
}


def families_config(folder: Path, **changes: Any) -> dict[str, Any]:
    """Gated, TopK and BatchTopK with their two-sided forms, of two models at two hookpoints under
    two recipes; TopK has three seeds at two of its ks in one place."""
    raw = configuration(results=str(folder), cache=str(folder / "cache"))
    both, one = {"recipes": ["matched", "paper"]}, {"recipes": ["matched"]}
    grid = []
    for name, form in (("topk", "abstopk"), ("batchtopk", "absbatchtopk")):
        grid.append({"variant": name, "expansion": 4, "ks": KS} | both)
        grid.append({"variant": form, "expansion": 2, "ks": KS} | both)
    grid.append({"variant": "gated", "expansion": 4, "lambdas": LAMBDAS} | one)
    grid.append({"variant": "sagsae_tied", "expansion": 2, "lambdas": LAMBDAS} | one)
    grid.append(
        {"variant": "topk", "expansion": 4, "ks": KS[:2], "seeds": [1, 2]}
        | {"models": ["small"], "hookpoints": ["mlp_out"]}
        | one
    )
    pairs = [("sagsae_tied", "gated"), ("abstopk", "topk"), ("sagsae_tied", "topk")]
    comparisons = [
        {"candidate": {"variant": a, "expansion": 2}, "baseline": {"variant": b, "expansion": 4}}
        | {"matched_l0": [48, 140]}
        for a, b in pairs
    ]
    raw |= {"study": "families", "hookpoints": ["mlp_out", "resid"], "recipes": PLAIN}
    return raw | {"grid": grid, "comparisons": comparisons} | changes


def result(cell: Cell, d_model: int) -> dict[str, Any]:
    """The metrics of a cell: R2 linear in log L0; a k-sparse one has L0 = k, another 8 / lambda;
    seed s is higher by 0.002 s; sizes are those of the width."""
    two = sides(cell.variant) == 2
    l0 = float(cell.k) if cell.k else 8 / cell.knob
    r2 = 0.6 + 0.1 * math.log(l0 / 80) + LIFT[stem(cell.variant)] + TWO_SIDES * two
    r2 += 0.002 * cell.seed - 0.04 * (cell.recipe == "paper")
    r2 -= 0.1 * (two and (cell.model, cell.hookpoint) == ("large", "resid"))
    found = metrics_of(cell, d_model, l0=l0, r2=r2, dead=1 if two else cell.width // 8)
    found["loss_recovered"] = 0.8 + 0.02 * math.log(l0) + 0.05 * two
    kept = {name: value for name, value in asdict(cell).items() if value not in ("", None)}
    return found | {"cell": kept}


def made_families(folder: Path, **changes: Any) -> MadeStudy:
    """Write the metrics of every cell, what probes found where the study probes, and all tables."""
    study = Study.from_dict(families_config(folder, **changes))
    made = write_metrics(study, result)
    make_probes(study)
    made.tables()
    if made.scope.claims:
        made.make("claims")
    return made
