"""From a job to its trackers and back: nothing that a tracker does reaches the training."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.cells.run import main as run_cell
from pipeline.cells.tracking import live as live_module
from pipeline.cells.tracking.trackers import VARIABLE, Asked, Tracked
from pipeline.study.curves import read_curve
from tests.pipeline.cells.tracking.readers import mlflow_points, tensorboard_points, wandb_points
from tests.pipeline.whole_study import CELL, CONFIG, WholeStudy, make_whole_study, without_costs

pytestmark = pytest.mark.slow

ALL = ("wandb", "tensorboard", "mlflow")
TRAINING = CONFIG["training"] | {"tokens": 128 * 400}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> WholeStudy:
    """A study without trackers, which stays as it is."""
    folder = tmp_path_factory.mktemp("made")
    return make_whole_study(folder, hookpoints=["resid"], training=TRAINING)


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Ask for trackers as the Snakefile does."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")

    def ask(*names) -> Asked:
        asked = Asked(study="small", folder=str(tmp_path / "tracking"), trackers=list(names))
        monkeypatch.setenv(VARIABLE, "")  # what is passed on is put back
        asked.pass_on()
        return asked

    return ask


@pytest.fixture
def faulty(monkeypatch):
    """TensorBoard as a tracker with faults."""

    def nothing(*_: object) -> None:
        pass

    def faulty(start=nothing, log=nothing, finish=nothing) -> None:
        def opened(asked: Asked, cell: Tracked) -> SimpleNamespace:
            start()
            return SimpleNamespace(last=-1, log=log, finish=finish)

        name = "pipeline.cells.tracking.tensorboard_run"
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(start=opened))

    return faulty


def failing(error: BaseException):
    def fail(*_: object) -> None:
        raise error

    return fail


def train(made: WholeStudy, root: Path) -> Path:
    """What the job of a cell does; its folder."""
    out = root / CELL.path / "metrics.json"
    run_cell(**made._cell_arguments(Path(made.study.metrics(CELL))) | {"out": out})
    return out.parent


def curve_of(folder: Path, name: str = "loss") -> list[tuple[int, float]]:
    curve, _ = read_curve(folder / "curve.parquet")
    return list(zip(curve["step"], curve[name].astype("float32"), strict=True))


def as_float32(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    return [(step, np.float32(value)) for step, value in points]


def assert_unharmed(made: WholeStudy, folder: Path) -> None:
    assert without_costs(folder) == without_costs(made.cell())


def test_all_trackers_get_the_curve_and_the_cell_stays_the_same(made, ask, tmp_path, capfd):
    asked = ask(*ALL)
    folder = train(made, tmp_path / "cells")
    assert_unharmed(made, folder)
    place = tmp_path / "tracking"
    metrics = json.loads((folder / "metrics.json").read_text())
    for points in (
        wandb_points(place / "wandb", CELL.path),
        tensorboard_points(place / "tensorboard" / CELL.path),
        mlflow_points(asked, CELL.path),
    ):
        for name in ("loss", "reconstruction", "l0", "dead_fraction", "lr", "lambda", "tokens"):
            assert as_float32(points[name]) == curve_of(folder, name), name
        ((_, r2),) = points["heldout/r2"]
        assert r2 == pytest.approx(metrics["r2"], rel=1e-6)
    assert "TRACKING" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        ({"start": failing(ModuleNotFoundError("gone"))}, "(ModuleNotFoundError: gone)"),
        ({"start": failing(SystemExit("log in first"))}, "(SystemExit: log in first)"),
        ({"log": failing(RuntimeError("quota"))}, "(RuntimeError: quota)"),
        ({"finish": failing(KeyError("x"))}, "(KeyError: 'x')"),
    ],
)
def test_a_tracker_that_fails_is_told_of_once_and_harms_nothing(
    made, ask, faulty, tmp_path, capfd, faults, told
):
    ask("tensorboard")
    faulty(**faults)
    folder = train(made, tmp_path / "cells")
    assert_unharmed(made, folder)
    said = capfd.readouterr().err
    assert said.count("warning: TRACKING") == 1
    assert told in said


def test_a_tracker_that_hangs_is_left_behind(made, ask, faulty, tmp_path, monkeypatch, capfd):
    ask("tensorboard")
    faulty(log=lambda rows: time.sleep(1000))
    monkeypatch.setattr(live_module, "PATIENCE", 0.5)
    began = time.monotonic()
    folder = train(made, tmp_path / "cells")
    assert_unharmed(made, folder)
    assert "TRACKING IS NOT COMPLETE" in capfd.readouterr().err
    assert time.monotonic() - began < 500
