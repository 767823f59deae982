"""What is wrong with files of steering and of probes, as `snakemake verify` tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.jobs.json_files import read_json, write_json
from pipeline.study.study import Study
from pipeline.tools.verify import check_look
from tests.pipeline.made_dial import make_dials
from tests.pipeline.made_grid import make_grid
from tests.pipeline.made_probes import make_probes

PLACES = {"models": ["small"], "hookpoints": ["mlp_out"]}
CHANGED = {"dial": {"random": 3}, "probe": {"ks": [1, 5, 9]}}


@pytest.fixture(params=["dial", "probe"])
def made(request, tmp_path) -> tuple[Study, Path]:
    """A study with one file of steering, or of probes."""
    study = make_grid(tmp_path, hookpoints=["mlp_out"], **{request.param: PLACES})
    {"dial": make_dials, "probe": make_probes}[request.param](study)
    (file,) = study.dials | study.probes
    return study, Path(file)


def test_a_damaged_file_is_named(made):
    study, file = made
    file.write_text(file.read_text().replace('"seed": 0', '"seed": 1', 1))
    with pytest.raises(ValueError, match="edited or damaged"):
        check_look(study, file)


def test_a_file_of_another_configuration_is_named(made):
    study, file = made
    kind = "dial" if study.dials else "probe"
    other = study.config.model_dump() | {kind: PLACES | CHANGED[kind]}
    other["results"] = study.run.results
    with pytest.raises(ValueError, match="made for another configuration: specification"):
        check_look(Study.from_dict(other), file)


def test_a_cell_that_was_trained_again_is_named(made):
    study, file = made
    spec = study.look_spec(str(file))
    cell = spec.candidate[0] if study.dials else spec.cells[3]
    metrics = read_json(study.metrics(cell))
    changed = metrics["made_from"] | {"weights_sha256": "6" * 64}
    write_json(study.metrics(cell), metrics | {"made_from": changed})
    with pytest.raises(ValueError, match=f"made with weights that {cell.path} no longer has"):
        check_look(study, file)
    Path(study.metrics(cell)).unlink()
    check_look(study, file)
