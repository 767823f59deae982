"""metrics.json through the versions: old files are read, newer ones refused, a metric is added."""

from __future__ import annotations

import pytest

from pipeline.jobs.json_files import read_json
from pipeline.study import metrics
from pipeline.study.metrics import MetricsError, read_metrics
from tests.pipeline.conftest import MadeStudy


def first(study: MadeStudy) -> str:
    return study.spec["cells"][0]


def test_a_file_without_a_version_is_version_1(made_study):
    path = made_study.metrics_file(first(made_study))
    assert "schema_version" not in read_json(path)
    cell = metrics.Cell.from_path(first(made_study))
    assert read_metrics(path, cell).schema_version == 1


def test_a_field_that_this_program_does_not_know_is_refused(made_study):
    made_study.change(first(made_study), unheard_of=3.0)
    with pytest.raises(MetricsError) as caught:
        made_study.tables()
    message = str(caught.value)
    assert f"{first(made_study)}/metrics.json: 1 error(s)" in message
    assert "unheard_of: unknown key" in message
