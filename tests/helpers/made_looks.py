"""Made-up results of the jobs that look into cells, whose scores and means are known."""

from __future__ import annotations

import math
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline.analysis.tables.dial import PLACE
from pipeline.jobs.json_files import digest, read_json, write_json
from pipeline.study.cell import Cell
from pipeline.study.dial import LATENT, PAIR, RANDOM, DialRun, DialSpec
from pipeline.study.probe import ProbeRun, ProbeSpec
from pipeline.study.signs import SignsRun, SignsSpec, one_sided_forms
from pipeline.study.study import Study

WEIGHTS = "4" * 64

# Steering -------------------------------------------------------------------------------------

SIZES = [-1.0, -0.5, 0.0, 0.5, 1.0]
DIAL = [-3.0, -1.5, 0.0, 2.0, 4.0]
"""A dial: every step goes up, the weaker arm reaches 0.75 of the stronger, the gain is 3.5."""
ONE_ARMED = [-0.4, -0.2, 0.0, 2.0, 4.0]
CHANCE = [-1.0, -0.5, 0.0, 0.5, 1.0]
"""Of a random direction: gain 1."""


def direction(kind: str, rank: int, effect: list[float]) -> dict[str, Any]:
    latents = {LATENT: [10 + rank], PAIR: [20 + rank, 30 + rank], RANDOM: []}[kind]
    known = {"contribution": 0.01 * rank, "own_sizes": [0.25, 0.125]} if latents else {}
    return {
        "kind": kind,
        "rank": rank,
        "latents": latents,
        "kl": [abs(value) / 8 for value in effect],
        "effect": effect,
        "effect_se": [0.0 if value == 0 else 0.1 for value in effect],
        "promoted": [[" good", "|", "好"], [" bad", "\n"]],
        **known,
        **({"cosine": -0.9 + 0.1 * rank} if kind == PAIR else {}),
    }


def made_dial(spec: DialSpec, *directions: dict[str, Any]) -> DialRun:
    """One job's result; by default two dials, a pair with one arm, and three random directions."""
    chosen = directions or (
        direction(LATENT, 1, DIAL),
        direction(LATENT, 2, DIAL),
        direction(PAIR, 1, ONE_ARMED),
        *(direction(RANDOM, rank, CHANCE) for rank in (1, 2, 3)),
    )

    def side(cells: list[Any]) -> dict[str, Any] | None:
        return {"cell": cells[0], "l0": 60.0, "weights_sha256": WEIGHTS} if cells else None

    return DialRun.model_validate(
        {
            "spec": digest(spec),
            **{name: getattr(spec, name) for name in PLACE},
            "candidate": side(spec.candidate),
            "baseline": side(spec.baseline),
            "unit": 2.0,
            "sizes": SIZES,
            "contexts": 4,
            "positions": 64,
            "directions": list(chosen),
        }
    )


# Probing --------------------------------------------------------------------------------------

PROBE_KS = [1, 5]
LABELS = {"letter.a": (0.9, 0.9), "letter.b": (0.8, 0.5), "digit.digit": (1.0, 1.0)}
"""Name -> accuracy and F1 of a probe on whole activations; the second letter is not judged."""


def accuracy(cell: Cell, label: str, k: int, l0: float) -> float:
    """Linear in log L0; sign-aware latents are better by 0.1, digits by 0.05, k = 5 by 0.2."""
    alone = 0.5 + 0.02 * math.log(l0) + 0.1 * (cell.variant != "gated")
    return alone + 0.05 * (label == "digit.digit") + 0.2 * (k == 5)


def probed(cell: Cell, l0: float) -> dict[str, Any]:
    """One cell: of five sides, two are of one latent where it has two signs."""
    judged = {"main": [3, 2 * cell.width - 1], "rows": 40, "fraction": 1 / l0, "full": 0.125}
    return {
        "cell": cell,
        "l0": l0,
        "weights_sha256": WEIGHTS,
        "live_sides": 20,
        "live_latents": 20 if cell.variant == "gated" else 12,
        "labels": [
            {
                "accuracy": [accuracy(cell, label, k, l0) for k in PROBE_KS],
                "latents": [1, 5 if cell.variant == "gated" else 4],
                "sides": [3, cell.width + 1, 1, 7, 8],
                "absorption": judged if label == "letter.a" else None,
            }
            for label in LABELS
        ],
    }


def made_probe(spec: ProbeSpec, l0: dict[Cell, float] | None = None) -> ProbeRun:
    """One job's result; L0 is 8 / lambda, or k, unless given."""
    labels = [
        {"name": name, "train": 400, "test": 100, "neurons": [0.6, 0.7]}
        | {"dense": dense, "dense_f1": f1}
        for name, (dense, f1) in LABELS.items()
    ]
    usual = {cell: 8 / cell.lam if cell.lam else float(cell.knob) for cell in spec.cells}
    known = usual | (l0 or {})
    return ProbeRun.model_validate(
        {
            "spec": digest(spec),
            **{name: getattr(spec, name) for name in PLACE if name != "comparison"},
            "ks": PROBE_KS,
            "rows": 1000,
            "labels": labels,
            "left_out": ["letter.q"],
            "cells": [probed(cell, known[cell]) for cell in spec.cells],
        }
    )


# Signs: half of the latents live, a quarter of them two-sided ----------------------------------

AGREED = {"greedy": 0.75, "assigned": 0.5, "found": 0.25}
COUNTS = {"opposite": 3, "alike": 1, "dead_against": 0.75, "dead_along": 0.25}
POLES = {"both": 1, "one": 2, "neither": 1, "along": 2, "stronger": 0.8, "weaker": 0.4}


def made_signs(spec: SignsSpec, collapsed: frozenset[Cell] = frozenset()) -> SignsRun:
    """One job's result, with an L0 of 64 plus the seed: of four two-sided latents one has both
    poles, two have one."""
    sound = [cell for cell in spec.cells if cell not in collapsed]
    points = (list(seeds) for _, seeds in groupby(sound, key=lambda cell: (cell.sweep, cell.knob)))
    cells = [
        {"cell": cell, "l0": 64 + cell.seed, "weights_sha256": WEIGHTS, **COUNTS}
        | {"live": cell.width // 2, "two_sided": cell.width // 8, "collapsed": cell in collapsed}
        for cell in spec.cells
    ]
    poles = [
        {"cell": cell, "one_sided": form, **POLES}
        for cell in sound
        for form in one_sided_forms(cell, sound)
        if cell.knob == form.knob
    ]
    agreements = [{"cells": seeds, **AGREED} for seeds in points if len(seeds) > 1]
    run = {"rows": 1000, "cells": cells, "agreements": agreements, "poles": poles}
    return SignsRun.made(spec, run)


def make_looks(study: Study, kind: str) -> None:
    """Write the result of every job of a kind that a study has; probes with the L0 of the metrics
    that are there."""
    for look, spec in study.looks[kind].items():
        if kind == "probe":
            files = {cell: Path(study.metrics(cell)) for cell in spec.cells}
            l0 = {cell: read_json(file)["l0"] for cell, file in files.items() if file.exists()}
            run = made_probe(spec, l0)
        else:
            run = {"dial": made_dial, "signs": made_signs}[kind](spec)
        out = Path(study.look_file(kind, look))
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, run.model_dump())
