"""Which jobs probe, what they are given, and what of a configuration is refused."""

from __future__ import annotations

import pytest

from pipeline.config.spelling import CellNameError
from pipeline.config.study_config import ConfigError
from pipeline.jobs.json_files import digest
from pipeline.study.metrics import MetricsError
from pipeline.study.probe_runs import ProbeRun, read_probe_run
from pipeline.study.study import Study
from tests.pipeline.made_grid import configuration
from tests.pipeline.made_probes import made_run, make_probes


def study_of(probe, **changes) -> Study:
    return Study.from_dict(configuration(**changes) | {"probe": probe})


def test_without_the_section_nothing_is_probed_and_nothing_changes():
    study = Study.from_dict(configuration())
    assert study.probes == {}
    assert study.probe_tables == ()
    assert "probe" not in study.config.model_dump()
    assert "probe" not in study.scope


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


def test_as_many_seeds_as_are_asked_for_of_sweeps_that_have_them():
    study = study_of({"seeds": 2, "models": ["small"], "hookpoints": ["resid"]})
    first, second = study.probes.values()
    assert (first.seed, second.seed) == (0, 1)
    assert {cell.variant for cell in second.cells} == {"gated", "sagsae_tied"}
    assert len(second.cells) == 2 * 3


def test_recipes_are_probed_apart():
    recipes = {"zero": {"training": {"b_dec_init": "zero"}}}
    raw = configuration(recipes=recipes, hookpoints=["resid"])
    raw["grid"][0]["recipes"] = ["default", "zero"]
    study = Study.from_dict(raw | {"probe": {"models": ["small"]}})
    assert list(study.probes) == [
        "results/made-grid/probe/small/resid/seed0.json",
        "results/made-grid/probe/small/resid@zero/seed0.json",
    ]
    assert {cell.recipe for cell in list(study.probes.values())[1].cells} == {"zero"}
    only = Study.from_dict(raw | {"probe": {"recipes": ["zero"], "models": ["small"]}})
    assert [spec.recipe for spec in only.probes.values()] == ["zero"]
    assert "figure_probing@zero" in study.figures


def test_figures_tables_and_report_know_of_it():
    study = study_of({})
    assert {"figure_probing", "figure_absorption"} <= set(study.figures)
    assert study.probe_tables == ("probing.csv", "absorption.csv", "probing.md", "probing.tex")
    assert study.scope["probe"] is True
    assert study.looked_into == study.probes


def test_specifications_are_written_for_the_jobs(tmp_path):
    study = study_of({"hookpoints": ["resid"]})
    study.write_shared_specs(tmp_path)
    for spec in study.probes.values():
        file = tmp_path / study.shared_spec("probe", digest(spec))
        assert type(spec).argument(f"@{file}") == spec


def test_a_file_that_no_job_makes_has_no_specification():
    study = study_of({"hookpoints": ["resid"]})
    file = next(iter(study.probes))
    assert study.probe_spec(file) == study.probes[file]
    with pytest.raises(CellNameError, match="does not probe there; it has results/"):
        study.probe_spec(file.replace("seed0", "seed7"))
    with pytest.raises(CellNameError, match="none: see section probe"):
        Study.from_dict(configuration()).probe_spec(file)


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ({"ks": [2, 1]}, r"probe\.ks.*does not ascend"),
        ({"ks": []}, r"probe\.ks"),
        ({"labels": ["letter", "letter"]}, r"probe\.labels.*has a kind twice"),
        ({"labels": ["mood"]}, r"probe\.labels\.0"),
        ({"labels": ["source"]}, r"probe\.labels: source alone, and the text has one source"),
        ({"test_rows": 50}, r"probe\.test_rows: 50 rows.*least_rows 30 asks for"),
        ({"models": ["gpt5"]}, r"probe\.models\.0: unknown 'gpt5'; known are small, large"),
        ({"recipes": ["zero"]}, r"probe\.recipes\.0: unknown 'zero'; known are default"),
        ({"test_share": 1.0}, r"probe\.test_share"),
    ],
)
def test_what_makes_no_sense_is_refused(probe, message):
    with pytest.raises(ConfigError, match=message):
        study_of(probe)


class TestFiles:
    def test_a_file_is_read_as_it_was_written(self, tmp_path):
        study = study_of({"models": ["small"]}, results=str(tmp_path))
        files = make_probes(study)
        assert read_probe_run(files[0]) == made_run(next(iter(study.probes.values())))

    def test_values_that_are_missing_are_named(self):
        study = study_of({"models": ["small"]})
        run = made_run(next(iter(study.probes.values()))).model_dump()
        run["labels"][1]["neurons"].pop()
        run["cells"][0]["labels"].pop()
        run["cells"][1]["labels"][2]["accuracy"].append(0.5)
        with pytest.raises(ValueError, match="1 validation error") as found:
            ProbeRun.model_validate(run)
        for path in ("labels.1.neurons", "cells.0.labels", "cells.1.labels.2.accuracy"):
            assert path in str(found.value)

    def test_unusable_files_are_named(self, tmp_path):
        file = tmp_path / "seed0.json"
        with pytest.raises(MetricsError, match="no such file: run `snakemake probe` first"):
            read_probe_run(file)
        file.write_text("{}")
        with pytest.raises(MetricsError, match=r"seed0\.json"):
            read_probe_run(file)
