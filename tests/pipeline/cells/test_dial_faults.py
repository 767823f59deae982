"""What `snakemake verify` finds in the results of steering."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cells.run_faults import dial_run_faults as faults
from pipeline.jobs.findings import Fault
from pipeline.jobs.json_files import read_json, write_json
from pipeline.study.study import Study
from tests.pipeline.made_dial import make_dials
from tests.pipeline.made_grid import make_grid

DIAL = {"models": ["small"], "hookpoints": ["mlp_out", "resid"]}


@pytest.fixture
def study(tmp_path) -> Study:
    made = make_grid(tmp_path, hookpoints=["mlp_out", "resid"], dial=DIAL)
    make_dials(made)
    return made


def found(study: Study) -> list[Fault]:
    return [one for one in faults(study) if isinstance(one, Fault)]


def test_damaged_files_are_named(study):
    first, second = study.dials
    Path(first).write_text(Path(first).read_text().replace('"unit": ', '"unit": 1'))
    write_json(second, {"another": "file"})
    assert [fault.file for fault in found(study)] == [first, second]
    assert "edited or damaged" in str(found(study)[0].problem)


def test_results_of_another_configuration_are_named(study):
    raw = study.config.model_dump()
    other = Study.from_dict(raw | {"dial": DIAL | {"tokens": 3}})
    problems = [str(fault.problem) for fault in found(other)]
    assert len(problems) == 2
    assert all("made for another configuration: specification" in text for text in problems)


@pytest.mark.parametrize("side", ["candidate", "baseline"])
def test_a_cell_that_was_trained_again_is_named(study, side):
    file, spec = next(iter(study.dials.items()))
    cell = getattr(spec, side)[0]
    metrics = read_json(study.metrics(cell))
    write_json(
        study.metrics(cell),
        metrics | {"made_from": metrics["made_from"] | {"weights_sha256": "6" * 64}},
    )
    (fault,) = found(study)
    assert fault.file == file
    assert fault.problem == f"steered with weights that {cell.path} no longer has"
    Path(study.metrics(cell)).unlink()
    assert found(study) == []
