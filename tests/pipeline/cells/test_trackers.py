"""Curves in trackers: each has every row once over several jobs, and no fault reaches training."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record

from pipeline.cells import trackers
from pipeline.cells.run import main as run_cell
from pipeline.cells.trackers import TRACKERS, VARIABLE, pass_on, tracked
from pipeline.jobs.json_files import read_json
from pipeline.study.curves import read_curve
from pipeline.study.sections import ConfigError
from pipeline.study.study import Study
from tests.helpers.real_study import (
    CELL,
    CONFIG,
    WholeStudy,
    configuration,
    make_whole_study,
    without_costs,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Ask for a tracker as the Snakefile does; the study that asks."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv(VARIABLE, "")  # what is passed on is put back

    def ask(*names: str) -> Study:
        study = Study.from_dict(configuration(tmp_path) | {"tracking": list(names)})
        pass_on(study)
        return study

    return ask


def tensorboard_points(study: Study) -> list[tuple[str, int, float]]:
    folder = study.path("tracking", "tensorboard", CELL.path)
    kept = EventAccumulator(folder, size_guidance={"scalars": 0}).Reload()
    return [
        (tag, point.step, point.value)
        for tag in kept.Tags()["scalars"]
        for point in kept.Scalars(tag)
    ]


def mlflow_points(study: Study) -> list[tuple[str, int, float]]:
    client = MlflowClient(f"sqlite:///{study.path('tracking', 'mlflow.db')}")
    places = [place.experiment_id for place in client.search_experiments()]
    (run,) = client.search_runs(places)
    assert (run.info.run_name, run.info.status) == (CELL.path, "FINISHED")
    assert run.data.params["lam"] == "0.1"
    return [
        (name, point.step, point.value)
        for name in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, name)
    ]


def wandb_records(file: Path) -> Iterator[Record]:
    """The records of one job, which lie in the blocks of LevelDB's log format."""
    content, at, parts = file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
        _, length, kind = struct.unpack_from("<IHB", content, at)
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def kind_of(record: Record) -> str:
    return record.WhichOneof("record_type")


def wandb_points(study: Study) -> list[tuple[str, int, float]]:
    """Of the last job: each has the curve from its beginning, and all have one id."""
    files = sorted(Path(study.path("tracking")).rglob("run-*.wandb"))
    assert len({file.name for file in files}) == 1
    records, deadline = list(wandb_records(files[-1])), time.monotonic() + 30
    # W&B writes the file after finish() has returned.
    while "exit" not in map(kind_of, records) and time.monotonic() < deadline:
        records = list(wandb_records(files[-1]))
    rows = [
        {item.key or item.nested_key[0]: float(item.value_json) for item in record.history.item}
        for record in records
        if kind_of(record) == "history"
    ]
    return [
        (name, int(row["_step"]), value)
        for row in rows
        for name, value in row.items()
        if not name.startswith("_")
    ]


READERS = {"tensorboard": tensorboard_points, "mlflow": mlflow_points, "wandb": wandb_points}


@pytest.mark.parametrize("name", TRACKERS)
def test_a_cell_that_was_stopped_has_every_row_once(name, ask, capfd):
    """The second job begins at a checkpoint before the last row; the third evaluates again."""
    study, metrics = ask(name), {"r2": 0.75, "loss_recovered": None}
    rows = [{"step": step, "loss": 1 / (1 + step), "lr": 0.5} for step in (0, 50, 100, 150, 199)]
    spec = study.train_spec(CELL)
    with tracked(spec) as tell:
        for number in range(3):
            tell(rows[number : number + 1])
    for _ in range(2):
        with tracked(spec) as tell:
            tell(rows, metrics)
    expected = [(key, row["step"], row[key]) for row in rows for key in ("loss", "lr")]
    expected.append(("heldout/r2", 199, 0.75))
    found = READERS[name](study)
    assert sorted(found) == [(key, step, pytest.approx(x)) for key, step, x in sorted(expected)]
    assert "TRACKING" not in capfd.readouterr().err


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> WholeStudy:
    """A study without trackers, which stays as it is."""
    folder, training = tmp_path_factory.mktemp("made"), CONFIG["training"] | {"tokens": 128 * 120}
    return make_whole_study(folder, hookpoints=["resid"], training=training)


def train(made: WholeStudy, folder: Path) -> None:
    """What the job of a cell does; the cell is the same as without trackers."""
    out = folder / "cells" / CELL.path / "metrics.json"
    run_cell(**made._cell_arguments(Path(made.study.metrics(CELL))) | {"out": out})
    assert without_costs(out.parent) == without_costs(made.cell())


def test_a_job_tells_the_whole_curve_and_what_was_measured(made, ask, tmp_path, monkeypatch):
    told: list[tuple[int, dict[str, float]]] = []

    def listening(training):
        while True:
            told.append((yield -1))

    monkeypatch.setitem(TRACKERS, "wandb", listening)
    ask("wandb")
    train(made, tmp_path)
    *rows, (last, heldout) = told
    curve = read_curve(made.cell() / "curve.parquet")[0].to_dict("records")
    assert [{"step": step, **values} for step, values in rows] == curve
    metrics = read_json(made.cell() / "metrics.json")
    assert (last, heldout["heldout/r2"]) == (rows[-1][0], metrics["r2"])


def failing_at_once(training):
    raise SystemExit("log in first")
    yield -1


def failing_later(training):
    yield -1
    raise RuntimeError("quota")


def hanging(training):
    time.sleep(1000)
    yield -1


@pytest.mark.parametrize(
    ("fault", "warning"),
    [
        (
            failing_at_once,
            f"TRACKING BY MLFLOW STOPPED at {CELL.path} (SystemExit('log in first'))",
        ),
        (failing_later, f"TRACKING BY MLFLOW STOPPED at {CELL.path} (RuntimeError('quota'))"),
        (hanging, "TRACKING BY MLFLOW IS NOT COMPLETE"),
    ],
)
def test_a_tracker_with_a_fault_is_told_of_once(
    made, ask, tmp_path, monkeypatch, capfd, fault, warning
):
    monkeypatch.setattr(trackers, "PATIENCE", 0.5)
    monkeypatch.setitem(TRACKERS, "mlflow", fault)
    ask("mlflow")
    train(made, tmp_path)
    said = capfd.readouterr().err
    assert said.count("warning: TRACKING") == 1
    assert warning in said


def test_a_package_that_is_not_installed_is_named(ask, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install --editable '\.\[tensorboard,mlflow\]'"):
        ask("tensorboard", "mlflow")
