"""Made-up training curves whose numbers are known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.study.cell import Cell
from pipeline.study.curves import curve_content
from pipeline.study.outputs import CURVE

STEPS = range(0, 400, 50)


def made_rows(cell: Cell, steps: Iterable[int] = STEPS) -> list[dict[str, float]]:
    """Rows of a history: errors fall as 1/step, from 2 for Gated and from 1 for all others."""
    start = 2.0 if cell.variant == "gated" else 1.0
    return [
        {
            "step": float(step),
            "tokens": 2048.0 * (step + 1),
            "lr": 7e-4,
            **({"lambda": cell.lam} if cell.k is None else {"k": float(cell.k)}),
            "loss": 3 * start / (1 + step),
            "reconstruction": start / (1 + step),
            "penalty": 5.0,
            "auxiliary": 0.5,
            "l0": (cell.k or 8 / cell.knob) + 100 / (1 + step),
            "dead_fraction": step / 1000,
            "resets": 0.0,
        }
        for step in steps
    ]


def make_curve(root: Path, cell: Cell, steps: Iterable[int] = STEPS) -> Path:
    """Write the curve of a cell below the folder of all cells."""
    path = root / cell.path / CURVE
    path.write_bytes(curve_content(made_rows(cell, steps), cell, "1" * 16))
    return path
