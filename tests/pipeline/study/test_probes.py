"""Which jobs probe, what they are given, and what of a configuration is refused."""

from __future__ import annotations

import pytest

from pipeline.jobs.json_files import digest
from pipeline.study.sections import ConfigError
from pipeline.study.study import Study
from tests.pipeline.made_grid import configuration


def study_of(probe) -> Study:
    return Study.from_dict(configuration(probe=probe))


def test_a_job_has_the_cells_of_one_place_and_seed():
    study = study_of({"hookpoints": ["attn", "resid"]})
    assert list(study.probes) == [
        f"results/made-grid/probe/{model}/{hookpoint}/seed0.json"
        for model in ("large", "small")
        for hookpoint in ("attn", "resid")
    ]
    for spec in study.probes.values():
        expected = [
            cell
            for cell in study.cells
            if (cell.model, cell.hookpoint, cell.seed) == (spec.model, spec.hookpoint, 0)
        ]
        assert spec.cells == expected
        assert spec.store == digest(study.dump_spec(spec.model, "heldout"))
        assert spec.probe.ks == [1, 2, 5]


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ({"ks": [2, 1]}, r"probe\.ks.*does not ascend"),
        ({"ks": []}, r"probe\.ks"),
        ({"labels": ["letter", "letter"]}, r"probe\.labels.*listed twice"),
        ({"labels": ["mood"]}, r"probe\.labels\.0"),
        ({"labels": ["source"]}, r"probe\.labels: source alone, and the text has one source"),
        ({"test_rows": 50}, r"probe\.test_rows: 50 rows.*least_rows 30 asks for"),
        ({"models": ["gpt5"]}, r"probe\.models\.0: unknown 'gpt5'; known are small, large"),
        ({"recipes": ["zero"]}, r"probe\.recipes\.0: unknown 'zero'; known are default"),
    ],
)
def test_what_makes_no_sense_is_refused(probe, message):
    with pytest.raises(ConfigError, match=message):
        study_of(probe)
