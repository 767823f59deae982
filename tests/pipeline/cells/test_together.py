"""The stage that trains several cells on one stream, and what each cell's own job makes of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.cells import together
from pipeline.cells.run import main as run_cell
from pipeline.jobs.json_files import digest, read_json, write_json
from pipeline.study.cell import Cell
from pipeline.study.curves import read_curve
from pipeline.study.specs import StreamSpec
from sagsae.training.checkpoint import newest_checkpoint
from sagsae.training.trainer import NonFiniteLoss, Trainer
from tests.pipeline.whole_study import CELL, CONFIG, WholeStudy, make_whole_study, without_costs

CELLS = (
    CELL,
    replace(CELL, lam=0.2),
    replace(CELL, variant="gated", width=40, lam=0.3),
)
TRAINING = CONFIG["training"] | {"tokens": 128 * 400}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeStudy]:
    """A study whose cells are trained alone, one of them off its grid, and that stays as it is."""
    study = make_whole_study(
        tmp_path_factory.mktemp("made"), hookpoints=["resid"], training=TRAINING
    )
    study.make(study.study.metrics(CELLS[2]))
    return study


@pytest.fixture
def cells_root(made: WholeStudy, tmp_path: Path) -> Path:
    """Where cells are to be trained again."""
    return tmp_path / "cells"


def spec(made: WholeStudy, cells: tuple[Cell, ...] = CELLS) -> StreamSpec:
    return StreamSpec(cells=[made.study.train_spec(cell) for cell in cells])


def train(made: WholeStudy, cells_root: Path, cells: tuple[Cell, ...] = CELLS) -> Path:
    out = cells_root / cells[0].path / ".state" / "together-0.json"
    manifest = Path(made.study.manifest("m", "train"))
    together.main(spec(made, cells), cells_root, manifest, out, device="cpu")
    return out


def finish(made: WholeStudy, cells_root: Path) -> None:
    """The jobs of the cells themselves."""
    for cell in CELLS:
        out = cells_root / cell.path / "metrics.json"
        run_cell(**made._cell_arguments(Path(made.study.metrics(cell))) | {"out": out})


def assert_as_alone(made: WholeStudy, cells_root: Path, cells: tuple[Cell, ...] = CELLS) -> None:
    for cell in cells:
        expected = without_costs(made.cell(cell))
        found = without_costs(cells_root / cell.path)
        assert {name: found.get(name) for name in expected} == expected, cell.path


def test_the_cells_are_those_that_are_trained_alone(made, cells_root, capsys):
    out = train(made, cells_root)
    assert read_json(out) == {"cells": [cell.path for cell in CELLS]}
    assert not list(cells_root.rglob("checkpoint-*"))
    capsys.readouterr()
    finish(made, cells_root)
    assert "train m/" not in capsys.readouterr().err
    assert_as_alone(made, cells_root)


def test_a_trained_cell_is_left_alone(made, cells_root):
    shutil.copytree(made.cell(CELLS[1]), cells_root / CELLS[1].path)
    kept = cells_root / CELLS[1].path / ".state" / "sae.safetensors"
    when = kept.stat().st_mtime_ns
    train(made, cells_root)
    assert kept.stat().st_mtime_ns == when
    finish(made, cells_root)
    assert_as_alone(made, cells_root, (CELLS[0], CELLS[2]))


def test_one_that_diverges_is_left_to_its_own_job(made, cells_root, monkeypatch, capsys):
    advance = Trainer._advance

    def fail(run: Trainer) -> None:
        if run.sae.width == 40 and run.step == 100:
            raise NonFiniteLoss("the loss of step 100 is not finite")
        advance(run)

    monkeypatch.setattr(Trainer, "_advance", fail)
    out = train(made, cells_root)
    assert read_json(out) == {"cells": [cell.path for cell in CELLS[:2]]}
    message = capsys.readouterr().err
    assert f"warning: {CELLS[2].path}: the loss of step 100 is not finite" in message
    with pytest.raises(NonFiniteLoss):
        finish(made, cells_root)
    assert_as_alone(made, cells_root, CELLS[:2])
    monkeypatch.undo()
    finish(made, cells_root)
    assert_as_alone(made, cells_root, CELLS[2:])


def test_an_error_of_all_of_them_ends_the_job(made, cells_root, monkeypatch):
    def fail(run: Trainer) -> None:
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(Trainer, "_advance", fail)
    with pytest.raises(RuntimeError, match="CUDA error"):
        train(made, cells_root)
    assert not list(cells_root.rglob("together-*.json"))


def test_cells_that_differ_in_more_than_lambda_are_refused(made, cells_root):
    with pytest.raises(ValueError, match="have not one stream"):
        train(made, cells_root, (CELL, replace(CELL, seed=1)))


def test_what_was_noted_goes_with_the_weights(made, cells_root):
    """Of another training, so that a study which returns to the first one shares a stream again."""
    out = train(made, cells_root)
    state = out.parent
    assert read_json(state / "stream.json")["train"] == digest(made.study.train_spec(CELL))
    other = spec(made)
    other.cells[0] = other.cells[0].model_copy(
        update={"training": other.cells[0].training.model_copy(update={"tokens": 1024})}
    )
    arguments = made._cell_arguments(Path(made.study.metrics(CELL)))
    run_cell(**arguments | {"out": state.parent / "metrics.json", "train_spec": other.cells[0]})
    assert not out.exists()
    assert not (state / "stream.json").exists()
    assert (cells_root / CELLS[1].path / ".state" / "stream.json").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_job_goes_on(number, made, cells_root, tmp_path):
    """Each of its cells from its own checkpoint."""
    command = [sys.executable, "-m", "pipeline", "train-together", "--device", "cpu"]
    file = tmp_path / "spec.json"
    write_json(file, spec(made).model_dump())
    out = cells_root / CELL.path / ".state" / "together-0.json"
    command += ["--spec", f"@{file}", "--cells-root", str(cells_root), "--out", str(out)]
    command += ["--train-manifest", made.study.manifest("m", "train")]
    command += ["--checkpoint-seconds", "0.02"]
    killed = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    pattern = f"{CELLS[2].path}/.state/checkpoint-*.safetensors"
    while not (found := list(cells_root.glob(pattern))) and killed.poll() is None:
        time.sleep(0.005)
    killed.send_signal(number)
    _, message = killed.communicate()
    assert killed.returncode != 0
    assert found, message
    if number == signal.SIGTERM:
        assert "Interrupted: stopped after step" in message
    steps = [newest_checkpoint(path)[1]["step"] for path in cells_root.rglob("*.safetensors")]
    assert 0 < min(steps) <= max(steps) < 400
    assert not out.exists()
    train(made, cells_root)
    finish(made, cells_root)
    assert_as_alone(made, cells_root)
    for cell in CELLS:
        curve = read_curve(cells_root / cell.path / "curve.parquet")
        assert curve["step"].tolist() == [0, 50, 100, 150, 200, 250, 300, 350, 399]
