"""A made-up study with several recipes and two pairs of widths, whose effects are known."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

from pipeline.study.cell import Cell
from pipeline.study.study import Study
from tests.pipeline.conftest import MadeStudy, metrics_of, write_metrics
from tests.pipeline.made_grid import configuration

LAMBDAS = {"gated": (0.05, 0.1, 0.2), "sagsae_tied": (0.05, 0.1, 0.25)}
"""The two share the first two."""
NARROW, WIDE = (2, 4), (8, 16)
"""Widths of both sides in multiples of d_model."""
RATES = {"": 0.0007, "fast": 0.003}
"""Recipes by their learning rate; each also with b_dec at zero."""


def recipes() -> dict[str, Any]:
    """Three beside the default one: where b_dec starts, times the learning rate."""
    fast, zero = {"learning_rate": RATES["fast"]}, {"b_dec_init": "zero"}
    return {
        "fast": {"training": fast},
        "zero": {"note": "As in SAELens.", "training": zero},
        "zero-fast": {"training": fast | zero},
    }


def settings_configuration(results: Path, **changes: Any) -> dict[str, Any]:
    """Two models, two hookpoints, four recipes, two pairs of widths, of which the wide one lacks
    the fast learning rate with b_dec at the mean."""
    narrow = ["default", "fast", "zero", "zero-fast"]
    under = {NARROW: narrow, WIDE: ["default", "zero", "zero-fast"]}
    grid = [
        {"variant": variant, "expansion": width, "lambdas": list(LAMBDAS[variant])}
        | {"recipes": names, "seeds": [0, 1] if pair == NARROW else [0]}
        for pair, names in under.items()
        for variant, width in zip(("sagsae_tied", "gated"), pair, strict=True)
    ]
    comparisons = [
        {
            "candidate": {"variant": "sagsae_tied", "expansion": half},
            "baseline": {"variant": "gated", "expansion": full},
            "matched_l0": [64],
        }
        for half, full in (NARROW, WIDE)
    ]
    raw = configuration(results=str(results), recipes=recipes(), comparisons=comparisons)
    training = raw["training"] | {"learning_rate": RATES[""]}
    own = {"hookpoints": ["mlp_out", "resid"], "grid": grid, "training": training}
    return raw | own | changes


def gap_of(cell: Cell, wide: bool) -> float:
    """R2 of the candidate minus that of the baseline."""
    gap = 0.02 if wide else 0.01
    gap -= 0.05 if cell.recipe.startswith("zero") else 0.0
    return gap - (0.002 if cell.recipe.endswith("fast") else 0.0)


def dead_of(cell: Cell, wide: bool) -> int:
    """Dead latents: many in Gated with b_dec at zero, most in wide dictionaries."""
    if cell.variant != "gated":
        return 1
    if not cell.recipe.startswith("zero"):
        return 0
    return cell.width // (2 if wide else 4)


def result(cell: Cell, d_model: int) -> dict[str, Any]:
    """The metrics of a cell. R2 is linear in log L0, but for runs of Gated that collapse at one
    resid."""
    wide = cell.width > 4 * d_model
    gated = cell.variant == "gated"
    l0 = (5 / cell.lam) * (1 + 0.01 * cell.seed)
    r2 = 0.6 + 0.1 * math.log(l0 / 80) + (0.0 if gated else gap_of(cell, wide) + 0.001 * cell.seed)
    dead, collapsed = dead_of(cell, wide), []
    if (cell.model, cell.hookpoint, cell.recipe, cell.lam) == ("large", "resid", "zero-fast", 0.2):
        r2, dead, collapsed = -9.0, 0, ["R2 below 0.2"]
    found = metrics_of(cell, d_model, l0=l0, r2=r2, dead=dead)
    return found | {"collapsed": collapsed}


def made_settings(results: Path, **changes: Any) -> MadeStudy:
    """Write the metrics of every cell below ``results``."""
    study = Study.from_dict(settings_configuration(results, **changes))
    return write_metrics(study, result)


def pairs() -> list[tuple[str, str]]:
    """Every (model, hookpoint), in the order of tables."""
    return list(product(("large", "small"), ("mlp_out", "resid")))
