"""Curves of finished cells, sent when a tracker is asked for later."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.cells.tracking.live import main
from pipeline.jobs.json_files import read_json, write_json
from pipeline.study.sections import ConfigError
from pipeline.study.study import Study
from tests.pipeline.cells.tracking.readers import tensorboard_points
from tests.pipeline.made_curves import made_rows, make_curve
from tests.pipeline.made_grid import configuration, make_grid

GRID = [{"variant": "gated", "expansion": 2, "lambdas": [0.1, 0.2, 0.3], "models": ["small"]}]
RAW = {"grid": GRID, "comparisons": [], "hookpoints": ["resid"]}


@pytest.fixture
def study(tmp_path) -> Study:
    """Of three finished cells the first two have a curve, the third is of an earlier version."""
    study = make_grid(tmp_path / "results", **RAW)
    for number, cell in enumerate(study.cells):
        path = Path(study.metrics(cell))
        current = study.cell_made_for(cell)
        record = read_json(path)
        write_json(path, record | {"made_from": record["made_from"] | current})
        if number < 2:
            make_curve(Path(study.cells_root), cell)
    return study


def config(study: Study, tmp_path: Path, *tracking: str) -> Path:
    path = tmp_path / "study.yaml"
    raw = configuration(**RAW) | {"results": study.run.results, "tracking": list(tracking)}
    path.write_text(yaml.safe_dump(raw))
    return path


def points(study: Study, number: int):
    return tensorboard_points(Path(study.path("tracking/tensorboard", study.cells[number].path)))


def test_what_a_tracker_lacks_is_sent_and_nothing_twice(study, tmp_path, capsys):
    path = config(study, tmp_path, "tensorboard")
    main(path)
    assert capsys.readouterr().out == "2 of 3 cells sent to tensorboard\n"
    first = {number: points(study, number) for number in (0, 1)}
    for number, found in first.items():
        rows = made_rows(study.cells[number])
        assert found["loss"] == [(row["step"], pytest.approx(row["loss"])) for row in rows]
        assert found["heldout/r2"] == [
            (350, pytest.approx(read_json(study.metrics(study.cells[number]))["r2"]))
        ]
    assert not Path(study.path("tracking/tensorboard", study.cells[2].path)).exists()
    make_curve(Path(study.cells_root), study.cells[1], range(0, 600, 50))
    main(path)
    assert points(study, 0) == first[0]
    assert [step for step, _ in points(study, 1)["loss"]] == list(range(0, 600, 50))


def test_a_tracker_that_fails_ends_it(study, tmp_path, capsys):
    taken = Path(study.path("tracking"))
    taken.parent.mkdir(parents=True, exist_ok=True)
    taken.write_text("no folder")
    with pytest.raises(RuntimeError, match="tensorboard failed at small/resid/gated"):
        main(config(study, tmp_path, "tensorboard"))
    assert "TRACKING BY TENSORBOARD STOPPED" in capsys.readouterr().err


def test_a_package_that_is_not_installed_is_named(study, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.cells.tracking.trackers._is_installed", lambda name: False)
    with pytest.raises(ConfigError, match=r"pip install --editable '\.\[tensorboard,mlflow\]'"):
        main(config(study, tmp_path, "tensorboard", "mlflow"))
