"""At which lambda or k of a sweep its latents are looked at one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

from pipeline.study.cell import Cell
from pipeline.study.metrics import CellMetrics
from pipeline.study.specs import SweptSpec


def nearest_lambda(l0: Mapping[float, float], level: float) -> float | None:
    """The lambda, or k, whose L0 is nearest a level in log L0; the smaller of two equally near.

    Args:
        l0: lambda -> mean L0 of its cells. One with L0 = 0 is out of the question.
        level: the L0 that is asked for, above 0.

    Returns:
        None where no cell fires.
    """
    firing = [lam for lam, found in l0.items() if found > 0]
    return min(firing, key=lambda lam: (abs(math.log(l0[lam] / level)), lam), default=None)


def chosen_cell(spec: SweptSpec, side: list[Cell], metrics: dict[Cell, CellMetrics]) -> Cell | None:
    """The cell that is looked into; None where the grid has none here, or none fires."""
    knobs = sorted({cell.knob for cell in side})
    l0 = {knob: fmean(metrics[cell].l0 for cell in side if cell.knob == knob) for knob in knobs}
    knob = nearest_lambda(l0, spec.level)
    return None if knob is None else spec.of_seed(side)[knob]
