"""Sections that say where curves go and in which formats results are change no specification."""

from __future__ import annotations

import pytest

from pipeline.config.study_config import ConfigError
from pipeline.jobs.json_files import digest
from pipeline.study.formats import converted_synthetic, converted_tables, figure_files
from pipeline.study.study import Study
from tests.pipeline.made_grid import configuration


def study(**changes) -> Study:
    return Study.from_dict(configuration(**changes))


def test_trackers_are_in_no_specification_and_are_not_published():
    plain, tracked = study(), study(tracking={"wandb": {"entity": "my-team"}})
    assert tracked.run.tracking.wandb.entity == "my-team"
    assert tracked.shared_specs == plain.shared_specs
    assert "my-team" not in str(tracked.config.model_dump())
    cell = plain.cells[0]
    assert digest(tracked.train_spec(cell)) == digest(plain.train_spec(cell))


def test_without_the_section_formats_stay_as_they_were():
    plain = study()
    assert "formats" not in plain.config.model_dump()
    assert study(formats={}).shared_specs == plain.shared_specs
    assert figure_files(plain) == ("png", "svg", "csv")
    assert converted_tables(plain) == converted_synthetic(plain) == {}


def test_every_table_has_the_formats_that_are_asked_for():
    asked = study(formats={"figures": ["pdf"], "tables": ["parquet", "latex"]})
    assert figure_files(asked) == ("png", "pdf", "csv")
    found = converted_tables(asked)
    csv = {name for name in asked.tables + asked.claim_tables if name.endswith(".csv")}
    made = {*asked.tables, *asked.claim_tables}
    expected = {asked.table(name.replace("csv", "parquet")) for name in csv}
    tex = {asked.table(name.replace("csv", "tex")) for name in csv}
    assert set(found) == expected | {path for path in tex if path.split("/")[-1] not in made}
    assert asked.table("points.tex") in found
    assert asked.table("comparison.tex") not in found  # which a stage writes
    assert found[asked.table("comparison.parquet")] == asked.table("comparison.csv")
    assert asked.synthetic_table("summary").replace("csv", "parquet") in converted_synthetic(asked)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"formats": {"figures": ["eps"]}}, "formats.figures.0: Input should be 'svg' or 'pdf'"),
        ({"formats": {"figures": ["svg", "svg"]}}, "formats.figures: names a format twice"),
        ({"tracking": {"comet": {}}}, "tracking.comet: unknown key: allowed are wandb"),
        ({"tracking": {"wandb": {"mode": "disabled"}}}, "tracking.wandb.mode: Input should be"),
    ],
)
def test_what_is_unknown_is_refused(changes, told):
    with pytest.raises(ConfigError, match=told):
        study(**changes)
