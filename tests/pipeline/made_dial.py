"""Made-up results of steering whose scores are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.analysis.tables.dial import PLACE
from pipeline.jobs.json_files import digest, write_json
from pipeline.study.dial import LATENT, PAIR, RANDOM, DialRun, DialSpec
from pipeline.study.study import Study

SIZES = [-1.0, -0.5, 0.0, 0.5, 1.0]
DIAL = [-3.0, -1.5, 0.0, 2.0, 4.0]
"""A dial: every step goes up, the weaker arm reaches 0.75 of the stronger, the gain is 3.5."""
ONE_ARMED = [-0.4, -0.2, 0.0, 2.0, 4.0]
CHANCE = [-1.0, -0.5, 0.0, 0.5, 1.0]
"""Of a random direction: gain 1."""


def direction(kind: str, rank: int, effect: list[float], **values: Any) -> dict[str, Any]:
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
        **values,
    }


def made_run(spec: DialSpec, *directions: dict[str, Any]) -> DialRun:
    """One job's result; by default two dials, a pair with one arm, and three random directions."""
    chosen = directions or (
        direction(LATENT, 1, DIAL),
        direction(LATENT, 2, DIAL),
        direction(PAIR, 1, ONE_ARMED),
        *(direction(RANDOM, rank, CHANCE) for rank in (1, 2, 3)),
    )

    def side(cells: list[Any]) -> dict[str, Any] | None:
        return {"cell": cells[0], "l0": 60.0, "weights_sha256": "4" * 64} if cells else None

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


def make_dials(study: Study, *directions: dict[str, Any]) -> None:
    """Write the result of every job that a study's dial has."""
    for look, spec in study.looks["dial"].items():
        Path(study.look_file("dial", look)).parent.mkdir(parents=True, exist_ok=True)
        write_json(study.look_file("dial", look), made_run(spec, *directions).model_dump())
