"""What `snakemake verify` finds and says; that it misses no damage is in tests/faults."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main
from pipeline.data import fetch as assets
from pipeline.jobs.json_files import read_json, write_json
from pipeline.jobs.stage import run_stage
from pipeline.study.cell import Cell
from pipeline.study.study import Study
from pipeline.tools.verify import verify
from tests.helpers.made_looks import make_looks
from tests.helpers.made_studies import make_grid
from tests.helpers.real_study import CELL, WholeStudy, configuration, make_whole_study


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> tuple[WholeStudy, Path]:
    made = make_whole_study(tmp_path_factory.mktemp("whole"))
    backup = tmp_path_factory.mktemp("backup") / "small"
    shutil.copytree(made.root, backup)
    return made, backup


@pytest.fixture
def whole(_made: tuple[WholeStudy, Path]) -> Iterator[WholeStudy]:
    """A sound study that a test may damage."""
    made, backup = _made
    yield made
    shutil.rmtree(made.root)
    shutil.copytree(backup, made.root)


def changed(whole: WholeStudy, **sections: dict[str, Any]) -> Study:
    """The same folder under another configuration."""
    raw = copy.deepcopy(configuration(whole.root.parent))
    for name, keys in sections.items():
        raw[name] = raw[name] | keys
    return Study.from_dict(raw)


def problems(study: Study) -> dict[str, str]:
    """File, relative to the study -> problem."""
    root = Path(study.root)
    return {
        fault.file.relative_to(root).as_posix(): fault.problem for fault in verify(study).faults
    }


def test_a_sound_study(whole):
    found = verify(whole.study)
    assert (found.faults, found.absent) == ([], [])
    assert found.sound == {
        "models": 1,
        "texts": 1,
        "token stores": 2,
        "stores": 2,
        "baselines": 1,
        "cells": 4,
    }


def test_what_is_not_made_yet_is_no_fault(whole, tmp_path):
    baselines, metrics = Path(whole.study.baselines("m")), Path(whole.study.metrics(CELL))
    baselines.unlink()
    metrics.unlink()
    found = verify(whole.study)
    assert (found.faults, found.absent) == ([], [baselines, metrics])
    assert found.sound["cells"] == 3
    nothing = verify(Study.from_dict(configuration(tmp_path)))
    assert nothing.faults == []
    assert not nothing.sound


def test_another_configuration(whole):
    cells = {f"cells/{cell.path}/metrics.json" for cell in whole.study.cells}
    text = {"source": {"kind": "random", "documents": 151, "words": 20}}
    splits = ("train", "heldout")
    made_of_text = {
        "assets/text/documents.json",
        *(f"{folder}/m-{split}.json" for folder in ("tokens", "manifests") for split in splits),
    }
    for sections, expected in (
        ({"training": {"tokens": 2048}}, cells),
        ({"evaluation": {"lr_contexts": 3}}, {"baselines/m.json", *cells}),
        ({"text": text}, {*made_of_text, "baselines/m.json", *cells}),
    ):
        assert problems(changed(whole, **sections)).keys() == expected


@pytest.mark.parametrize(
    ("record", "changes", "problem"),
    [
        ("manifests/m-train.json", {"sha256": "0" * 64}, "the first 512 rows of"),
        ("baselines/m.json", {"made_from": {"baselines": None}}, "made for another configuration"),
        ("baselines/m.json", {"made_from": {"heldout": "0"}}, "computed on another heldout store"),
    ],
)
def test_a_sound_record_that_does_not_belong_here(whole, record, changes, problem):
    content = read_json(whole.root / record)
    merged = {key: content[key] | of if isinstance(of, dict) else of for key, of in changes.items()}
    write_json(whole.root / record, content | merged)
    assert problem in problems(whole.study)[record]


def test_the_users_own_model_folder_is_never_to_be_deleted(whole, tmp_path):
    shutil.copytree(whole.entry(whole.study.asset("m")) / "model", tmp_path / "mine")
    raw = copy.deepcopy(configuration(whole.root.parent))
    raw["models"][0]["source"] = {"kind": "path", "path": str(tmp_path / "mine")}
    study = Study.from_dict(raw)
    source = raw["models"][0]["source"]
    assets.main(study.asset_spec("m"), source, whole.cache, Path(study.asset("m")))
    assert study.asset("m") not in problems(study)
    weights = tmp_path / "mine/model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    fault = verify(Study.from_dict(raw)).faults[0]
    assert "made for another configuration" in fault.problem  # its content is specified
    assert not weights.is_relative_to(fault.delete)


def test_cells_beside_the_grid_are_read_too(whole):
    beside = Cell(model="m", hookpoint="resid", variant="gated", width=8, lam=0.5, seed=3)
    whole.make(whole.study.metrics(beside))
    assert verify(whole.study).sound["cells"] == 5
    (whole.cell(beside) / "sae.safetensors").write_bytes(b"")
    assert f"cells/{beside.path}/metrics.json" in problems(whole.study)


def test_the_command_line(whole, capsys):
    def run() -> object:
        config = json.dumps(configuration(whole.root.parent))
        with pytest.raises(SystemExit) as stop:
            run_stage(lambda: main(["verify", "--configuration", config]))
        return stop.value.code

    assert run() == 0
    assert "study small: no fault; sound: models 1, " in capsys.readouterr().out
    (whole.cell() / "metrics.json").write_text("{}")
    assert run() == 1
    said = capsys.readouterr().out
    assert f"to mend it: delete {whole.cell()}/metrics.json, and run snakemake again" in said
    assert "study small: 1 FAULT(S); " in said


# Files of jobs that look into cells -------------------------------------------------------

PLACES = {"models": ["small"], "hookpoints": ["mlp_out"]}


@pytest.fixture(params=["dial", "probe", "signs"])
def looked(request, tmp_path) -> tuple[Study, Path]:
    """A study with one file of such a job."""
    study = make_grid(tmp_path, hookpoints=["mlp_out"], **{request.param: PLACES})
    make_looks(study, request.param)
    (look,) = study.looks[request.param]
    return study, Path(study.look_file(request.param, look))


def problem(study: Study, file: Path) -> str:
    """The one fault of the file."""
    (fault,) = [fault for fault in verify(study).faults if fault.file == file]
    return fault.problem


def test_a_sound_file_and_a_damaged_one(looked):
    study, file = looked
    assert verify(study).sound["looks into cells"] == 1
    file.write_text(file.read_text().replace('"model": "small"', '"model": "large"', 1))
    assert "edited or damaged" in problem(study, file)


def test_a_file_of_another_configuration_is_named(looked):
    study, file = looked
    other = study.config.model_dump() | {"results": study.run.results}
    other["dump"]["heldout_rows"] += 1
    other["evaluation"]["lr_contexts"] += 1
    assert "made for another configuration: spec" in problem(Study.from_dict(other), file)


def test_a_cell_that_was_trained_again_is_named(looked):
    study, file = looked
    (spec,) = (spec for specs in study.looks.values() for spec in specs.values())
    cell = spec.candidate[0] if study.looks["dial"] else spec.cells[3]
    metrics = read_json(study.metrics(cell))
    changed = metrics["made_from"] | {"weights_sha256": "6" * 64}
    write_json(study.metrics(cell), metrics | {"made_from": changed})
    assert problem(study, file) == f"{file}: made with weights that {cell.path} no longer has"
    Path(study.metrics(cell)).unlink()
    assert verify(study).sound["looks into cells"] == 1
