"""What is wrong with files of jobs that look into cells, as `snakemake verify` tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.jobs.json_files import read_json, write_json
from pipeline.study.study import Study
from pipeline.tools.verify import verify
from tests.pipeline.made_dial import make_dials
from tests.pipeline.made_grid import make_grid
from tests.pipeline.made_probes import make_probes
from tests.pipeline.made_signs import make_signs

PLACES = {"models": ["small"], "hookpoints": ["mlp_out"]}
MAKERS = {"dial": make_dials, "probe": make_probes, "signs": make_signs}


@pytest.fixture(params=list(MAKERS))
def made(request, tmp_path) -> tuple[Study, Path]:
    """A study with one file of such a job."""
    study = make_grid(tmp_path, hookpoints=["mlp_out"], **{request.param: PLACES})
    MAKERS[request.param](study)
    (file,) = study.looks[request.param]
    return study, Path(file)


def problem(study: Study, file: Path) -> str:
    """The one fault of the file."""
    (fault,) = [fault for fault in verify(study).faults if fault.file == file]
    return fault.problem


def test_a_sound_file_and_a_damaged_one(made):
    study, file = made
    assert verify(study).sound["looks into cells"] == 1
    file.write_text(file.read_text().replace('"model": "small"', '"model": "large"', 1))
    assert "edited or damaged" in problem(study, file)


def test_a_file_of_another_configuration_is_named(made):
    study, file = made
    other = study.config.model_dump() | {"results": study.run.results}
    other["dump"]["heldout_rows"] += 1
    other["evaluation"]["lr_contexts"] += 1
    assert "made for another configuration: spec" in problem(Study.from_dict(other), file)


def test_a_cell_that_was_trained_again_is_named(made):
    study, file = made
    spec = study.look_spec(str(file))
    cell = spec.candidate[0] if study.dials else spec.cells[3]
    metrics = read_json(study.metrics(cell))
    changed = metrics["made_from"] | {"weights_sha256": "6" * 64}
    write_json(study.metrics(cell), metrics | {"made_from": changed})
    assert problem(study, file) == f"{file}: made with weights that {cell.path} no longer has"
    Path(study.metrics(cell)).unlink()
    assert verify(study).sound["looks into cells"] == 1
