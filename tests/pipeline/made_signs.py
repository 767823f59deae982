"""Made-up results about signs: half of the latents live, a quarter of them two-sided."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from pipeline.jobs.json_files import write_json
from pipeline.study.cell import Cell
from pipeline.study.signs import SignsRun, SignsSpec, one_sided_forms
from pipeline.study.study import Study

AGREED = {"greedy": 0.75, "assigned": 0.5, "found": 0.25}
COUNTS = {"opposite": 3, "alike": 1, "dead_against": 0.75, "dead_along": 0.25}


def made_run(spec: SignsSpec, collapsed: frozenset[Cell] = frozenset()) -> SignsRun:
    """One job's result, with an L0 of 64 plus the seed: of four two-sided latents one has both
    poles, two have one."""
    sound = [cell for cell in spec.cells if cell not in collapsed]
    points = (list(seeds) for _, seeds in groupby(sound, key=lambda cell: (cell.sweep, cell.knob)))
    pairs = [(cell, one) for cell in sound for one in one_sided_forms(cell, sound)]
    cells = [
        {"cell": cell, "l0": 64 + cell.seed, "weights_sha256": "4" * 64, **COUNTS}
        | {"live": cell.width // 2, "two_sided": cell.width // 8, "collapsed": cell in collapsed}
        for cell in spec.cells
    ]
    poles = [
        {
            "cell": cell,
            "one_sided": one,
            "both": 1,
            "one": 2,
            "neither": 1,
            "along": 2,
            "stronger": 0.8,
            "weaker": 0.4,
        }
        for cell, one in pairs
        if cell.knob == one.knob
    ]
    agreements = [{"cells": found, **AGREED} for found in points if len(found) > 1]
    found = {"cells": cells, "agreements": agreements, "poles": poles}
    return SignsRun.made(spec, found | {"rows": 1000})


def make_signs(study: Study) -> None:
    """Write the result of every job that looks into a study's signs."""
    for look, spec in study.looks["signs"].items():
        Path(study.look_file("signs", look)).parent.mkdir(parents=True, exist_ok=True)
        write_json(study.look_file("signs", look), made_run(spec).model_dump())
