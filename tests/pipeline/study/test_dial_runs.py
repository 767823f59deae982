"""Results of steering: sound ones are read, others are named."""

from __future__ import annotations

import pytest

from pipeline.jobs.json_files import read_json, write_json
from pipeline.study.dial import DialRun
from pipeline.study.metrics import MetricsError
from pipeline.study.study import Study
from tests.pipeline.made_dial import made_run, make_dials
from tests.pipeline.made_grid import configuration


@pytest.fixture
def study(tmp_path) -> Study:
    asked = {"dial": {"models": ["small"]}, "results": str(tmp_path)}
    return Study.from_dict(configuration(**asked))


def test_what_is_written_is_read(study):
    files = make_dials(study)
    found = [DialRun.read(file) for file in files]
    assert found == [made_run(spec) for spec in study.dials.values()]
    assert [run.hookpoint for run in found] == ["mlp_out", "attn", "resid"]


def test_every_other_file_is_named(study, tmp_path):
    file = make_dials(study)[0]
    sound = read_json(file)
    with pytest.raises(MetricsError, match=r"none\.json: no such file: run `snakemake dial`"):
        DialRun.read(tmp_path / "none.json")
    write_json(file, {key: value for key, value in sound.items() if key != "unit"})
    with pytest.raises(MetricsError, match="unit"):
        DialRun.read(file)
    file.write_text(file.read_text().replace('"contexts": ', '"contexts": 1'))
    with pytest.raises(MetricsError, match="edited or damaged"):
        DialRun.read(file)
