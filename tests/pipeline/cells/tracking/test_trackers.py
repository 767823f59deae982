"""Each tracker itself, offline: its own reader finds what it was given, over several jobs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from pipeline.cells.tracking.trackers import Asked, Tracked, Tracker
from pipeline.study.run_settings import TrackerName
from tests.pipeline.cells.tracking.readers import (
    Points,
    mlflow_points,
    tensorboard_points,
    wandb_points,
)

pytestmark = [pytest.mark.long, pytest.mark.slow]

NAME = "m/resid/gated/w8_lam0.1_seed0"
CELL = Tracked(NAME, "0123456789abcdef", {"study": "small", "lam": 0.1, "variant": "gated"})
HELDOUT = {"r2": 0.75, "l0": 31.5}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")


def asked_of(place: Path, name: str) -> Asked:
    return Asked.model_validate({"study": "small", "folder": str(place), "trackers": [name]})


def found_by(name: str, folder: Path) -> Points:
    """What a tracker has of the cell."""
    if name == "tensorboard":
        return tensorboard_points(folder / "tensorboard" / NAME)
    if name == "mlflow":
        return mlflow_points(asked_of(folder, name), NAME)
    return wandb_points(folder / "wandb", NAME)


def rows(*steps: int) -> list[dict[str, float]]:
    return [{"step": float(step), "loss": 1 / (1 + step), "l0": 8.0 + step} for step in steps]


def session(asked: Asked, name: str, *steps: int, heldout: dict[str, float] | None = None) -> None:
    """What one job does that has these rows: it sends those that the tracker lacks."""
    run: Tracker = import_module(f"pipeline.cells.tracking.{name}_run").start(asked, CELL)
    if new := [row for row in rows(*steps) if row["step"] > run.last]:
        run.log(new)
    run.finish(heldout or {})


def expected(*steps: int) -> Points:
    return {
        "loss": [(step, pytest.approx(1 / (1 + step), rel=1e-6)) for step in steps],
        "l0": [(step, 8.0 + step) for step in steps],
    }


@pytest.mark.parametrize("name", get_args(TrackerName))
def test_a_job_that_goes_on_doubles_no_row_and_misses_none(name, tmp_path):
    """It begins again at a checkpoint before the last row that was sent."""
    asked = asked_of(tmp_path, name)
    session(asked, name, 0, 50, 100)
    session(asked, name, 0, 50, 100, 150, 199, heldout=HELDOUT)
    session(asked, name, 0, 50, 100, 150, 199, heldout=HELDOUT)  # the evaluation alone
    found = found_by(name, tmp_path)
    steps = expected(0, 50, 100, 150, 199)
    assert {key: points for key, points in found.items() if "/" not in key} == steps
    assert [value for _, value in found["heldout/r2"]] == [0.75]
