"""What is wrong with files of jobs that look into cells, as `snakemake verify` tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.jobs.json_files import read_json, write_json
from pipeline.study.study import Study
from pipeline.tools.verify import check_look
from tests.pipeline.made_dial import make_dials
from tests.pipeline.made_grid import make_grid
from tests.pipeline.made_probes import make_probes
from tests.pipeline.made_signs import make_signs

PLACES = {"models": ["small"], "hookpoints": ["mlp_out"]}
MAKERS = {"dial": make_dials, "probe": make_probes, "signs": make_signs}


@pytest.fixture(params=list(MAKERS))
def made(request, tmp_path) -> tuple[Study, tuple[str, str, Path]]:
    """A study with one file of such a job; its kind, name and file."""
    study = make_grid(tmp_path, hookpoints=["mlp_out"], **{request.param: PLACES})
    MAKERS[request.param](study)
    (look,) = study.looks[request.param]
    return study, (request.param, look, Path(study.look_file(request.param, look)))


def test_a_damaged_file_is_named_and_an_absent_one_with_what_makes_it(made):
    study, (*look, file) = made
    file.write_text(file.read_text().replace('"model": "small"', '"model": "large"', 1))
    with pytest.raises(ValueError, match="edited or damaged"):
        check_look(study, *look, file)
    file.unlink()
    with pytest.raises(ValueError, match="no such file: run snakemake first"):
        check_look(study, *look, file)


def test_a_file_of_another_configuration_is_named(made):
    study, look = made
    other = study.config.model_dump() | {"results": study.run.results}
    other["dump"]["heldout_rows"] += 1
    other["evaluation"]["lr_contexts"] += 1
    with pytest.raises(ValueError, match="made for another configuration: spec"):
        check_look(Study.from_dict(other), *look)


def test_a_cell_that_was_trained_again_is_named(made):
    study, look = made
    spec = study.look_spec(*look[:2])
    cell = spec.candidate[0] if look[0] == "dial" else spec.cells[3]
    metrics = read_json(study.metrics(cell))
    changed = metrics["made_from"] | {"weights_sha256": "6" * 64}
    write_json(study.metrics(cell), metrics | {"made_from": changed})
    with pytest.raises(ValueError, match=f"made with weights that {cell.path} no longer has"):
        check_look(study, *look)
    Path(study.metrics(cell)).unlink()
    check_look(study, *look)
