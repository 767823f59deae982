"""What `snakemake verify` finds in the results of probes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cells.run_faults import probe_run_faults as faults
from pipeline.jobs.findings import Fault
from pipeline.jobs.json_files import read_json, write_json
from pipeline.study.study import Study
from tests.pipeline.made_grid import make_grid
from tests.pipeline.made_probes import make_probes

PROBE = {"models": ["small"], "hookpoints": ["mlp_out", "resid"]}


@pytest.fixture
def study(tmp_path) -> Study:
    made = make_grid(tmp_path, hookpoints=["mlp_out", "resid"], probe=PROBE)
    make_probes(made)
    return made


def found(study: Study) -> list[Fault]:
    return [one for one in faults(study) if isinstance(one, Fault)]


def test_damaged_files_and_those_of_another_configuration_are_named(study):
    first, second = study.probes
    Path(first).write_text(Path(first).read_text().replace('"rows": ', '"rows": 1'))
    assert [fault.file for fault in found(study)] == [first]
    assert "edited or damaged" in str(found(study)[0].problem)
    make_probes(study)
    other = Study.from_dict(study.config.model_dump() | {"probe": PROBE | {"ks": [1, 5, 9]}})
    assert [fault.file for fault in found(other)] == [first, second]
    assert "made for another configuration" in str(found(other)[0].problem)


def test_a_cell_that_was_trained_again_is_named(study):
    file, spec = next(iter(study.probes.items()))
    cell = spec.cells[3]
    metrics = read_json(study.metrics(cell))
    changed = metrics["made_from"] | {"weights_sha256": "6" * 64}
    write_json(study.metrics(cell), metrics | {"made_from": changed})
    (fault,) = found(study)
    assert (fault.file, fault.problem) == (file, f"probed weights that {cell.path} no longer has")
