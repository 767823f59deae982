"""Made-up results about signs: half of the latents live, a quarter of them two-sided."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline.jobs.json_files import digest, write_json
from pipeline.study.cell import Cell
from pipeline.study.signs import SignsRun, SignsSpec, one_sided_forms
from pipeline.study.study import Study


def signed(cell: Cell, **changes: Any) -> dict[str, Any]:
    """One cell, with an L0 of 64 plus its seed."""
    counts = {"live": cell.width // 2, "two_sided": cell.width // 8, "opposite": 3, "alike": 1}
    known = {"cell": cell, "l0": 64 + cell.seed, "weights_sha256": "4" * 64, "collapsed": False}
    return known | counts | changes


def made_run(spec: SignsSpec, collapsed: set[Cell] = frozenset()) -> SignsRun:
    """One job's result: of four two-sided latents one has both poles, two have one."""
    sound = [cell for cell in spec.cells if cell not in collapsed]
    points = (list(seeds) for _, seeds in groupby(sound, key=lambda cell: (cell.sweep, cell.knob)))
    agreed = {"greedy": 0.75, "assigned": 0.5, "found": 0.25}
    pairs = [(cell, one) for cell in sound for one in one_sided_forms(cell, sound)]
    outcomes = {"both": 1, "one": 2, "neither": 1}
    return SignsRun.model_validate(
        {
            "spec": digest(spec),
            **spec.made_at,
            "rows": 1000,
            "cells": [signed(cell, collapsed=cell in collapsed) for cell in spec.cells],
            "agreements": [{"cells": found, **agreed} for found in points if len(found) > 1],
            "poles": [
                {"cell": cell, "one_sided": one, **outcomes}
                for cell, one in pairs
                if cell.knob == one.knob
            ],
        }
    )


def make_signs(study: Study) -> None:
    """Write the result of every job that looks into a study's signs."""
    for file, spec in study.signs.items():
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        write_json(file, made_run(spec).model_dump())
