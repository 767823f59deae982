"""What jobs of the dial read, here and where their results were put back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config.spelling import CellNameError
from pipeline.jobs.json_files import digest, write_json
from pipeline.study.cell import Cell
from pipeline.study.metrics import read_all
from pipeline.study.operating_point import chosen_cell
from pipeline.study.outputs import WEIGHTS
from pipeline.study.steered import read_by_dial, read_by_probe, weights_wanted
from pipeline.study.study import Study
from tests.pipeline.made_dial import make_dials
from tests.pipeline.made_grid import configuration, result
from tests.pipeline.made_probes import make_probes


def asked(**settings: Any) -> SimpleNamespace:
    """Snakemake's settings of a plan in which nothing is forced."""
    plain = {"targets": [], "forcerun": [], "forcetargets": False, "forceall": False}
    return SimpleNamespace(**plain | settings)


def read(study: Study, file: str, settings: SimpleNamespace, made_here: bool = False):
    return read_by_dial(study, file, settings, lambda _: made_here)


def wanted(study: Study, settings: SimpleNamespace, made_here: bool = False):
    return weights_wanted(study, settings, lambda _: made_here)


@pytest.fixture
def study(tmp_path) -> Study:
    dial = {"models": ["small"], "hookpoints": ["resid"]}
    return Study.from_dict(configuration(results=str(tmp_path)) | {"dial": dial})


@pytest.fixture
def file(study) -> str:
    (only,) = study.dials
    return only


def train(study: Study) -> None:
    for spec in study.dials.values():
        for cell in spec.may_steer:
            path = Path(study.cell_file(cell, WEIGHTS))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def put_back(study: Study, cells: list[Cell]) -> None:
    """Metrics of cells that were finished on another machine, under this configuration."""
    for cell in cells:
        path = Path(study.metrics(cell))
        path.parent.mkdir(parents=True)
        record = result(cell, study.models[cell.model].d_model)
        made = {"train": study.train_spec(cell), "evaluate": study.evaluate_spec(cell)}
        current = {name: digest(spec) for name, spec in made.items()}
        write_json(path, record | {"made_from": record["made_from"] | current})


def test_a_job_reads_metrics_of_all_seeds_and_weights_of_its_own(study, file):
    found = read(study, file, asked())
    spec = study.dials[file]
    assert found["metrics"] == [study.metrics(cell) for cell in spec.candidate + spec.baseline]
    assert len(found["metrics"]) == 2 * 3 * 3
    assert found["weights"] == [study.cell_file(cell, WEIGHTS) for cell in spec.may_steer]
    assert len(found["weights"]) == 2 * 3
    assert (found["heldout"], found["baselines"], found["asset"]) == (
        study.manifest("small", "heldout"),
        study.baselines("small"),
        study.asset("small"),
    )
    with pytest.raises(CellNameError, match="does not steer there"):
        read(study, file.replace("seed0", "seed1"), asked())


def test_a_result_that_was_put_back_reads_nothing(study, file):
    make_dials(study)
    assert read(study, file, asked()) == {}
    assert wanted(study, asked()) == set()


def test_a_result_that_was_made_here_keeps_its_inputs(study, file):
    """Snakemake would run its job again if they went with the weights."""
    make_dials(study)
    assert len(read(study, file, asked(), made_here=True)) == 5
    assert wanted(study, asked(), made_here=True) == set(study.dials[file].may_steer)


def test_where_the_weights_are_it_is_a_job_like_any_other(study, file):
    make_dials(study)
    train(study)
    assert len(read(study, file, asked())) == 5


@pytest.mark.parametrize(
    "settings",
    [
        {"forceall": True},
        {"forcerun": ["dial_run"]},
        {"forcerun": ["{file}"]},
        {"targets": ["{file}"], "forcetargets": True},
    ],
)
def test_what_is_forced_is_done_again(study, file, settings):
    make_dials(study)
    filled = {
        name: [text.format(file=file) for text in value] if isinstance(value, list) else value
        for name, value in settings.items()
    }
    assert len(read(study, file, asked(**filled))) == 5
    assert wanted(study, asked(**filled)) == set(study.dials[file].may_steer)


def test_other_targets_force_nothing(study, file):
    make_dials(study)
    others = asked(targets=["figures"], forcetargets=True, forcerun=["claims"])
    assert read(study, file, others) == {}
    assert read(study, file, asked(targets=[file])) == {}


def test_a_result_of_another_configuration_or_a_damaged_one_is_made_again(study, file):
    make_dials(study)
    raw = study.config.model_dump()
    other = Study.from_dict(raw | {"dial": raw["dial"] | {"tokens": 3}})
    assert len(read(other, file, asked())) == 5
    Path(file).write_text("{}")
    assert len(read(study, file, asked())) == 5


@pytest.mark.parametrize("targets", [[], ["figures"], ["{file}"], ["{metrics}", "figures"]])
def test_weights_are_wanted_by_jobs_that_are_not_done(study, file, targets):
    names = {"file": file, "metrics": study.metrics(study.cells[0])}
    found = wanted(study, asked(targets=[text.format(**names) for text in targets]))
    assert found == set(study.dials[file].may_steer)
    assert {cell.seed for cell in found} == {0}


def test_where_cells_alone_are_asked_for_nothing_is_steered(study):
    targets = [study.metrics(cell) for cell in study.cells[:2]]
    assert wanted(study, asked(targets=targets)) == set()


class TestProbes:
    @pytest.fixture
    def probing(self, tmp_path) -> Study:
        probe = {"models": ["small"], "hookpoints": ["resid"]}
        return Study.from_dict(configuration(results=str(tmp_path)) | {"probe": probe})

    def read(self, study: Study, settings: SimpleNamespace, made_here: bool = False):
        (file,) = study.probes
        return read_by_probe(study, file, settings, lambda _: made_here)

    def test_a_job_reads_metrics_and_weights_of_its_cells(self, probing):
        found, (spec,) = self.read(probing, asked()), probing.probes.values()
        assert found["metrics"] == [probing.metrics(cell) for cell in spec.cells]
        assert found["weights"] == [probing.cell_file(cell, WEIGHTS) for cell in spec.cells]
        assert found["tokens"] == probing.tokens("small", "heldout")
        assert (found["heldout"], found["asset"]) == (
            probing.manifest("small", "heldout"),
            probing.asset("small"),
        )
        with pytest.raises(CellNameError, match="does not probe there"):
            read_by_probe(probing, "nowhere.json", asked(), lambda _: False)

    def test_a_result_that_was_put_back_reads_nothing_unless_it_is_forced(self, probing):
        assert wanted(probing, asked()) == set(next(iter(probing.probes.values())).cells)
        make_probes(probing)
        assert self.read(probing, asked()) == {}
        assert wanted(probing, asked()) == set()
        assert len(self.read(probing, asked(), made_here=True)) == 5
        assert len(self.read(probing, asked(forcerun=["probe_run"]))) == 5
        assert self.read(probing, asked(forcerun=["dial_run"])) == {}


def test_of_cells_that_were_put_back_only_those_at_the_level_are_trained_again(study, file):
    spec = study.dials[file]
    put_back(study, spec.candidate + spec.baseline)
    metrics = read_all(Path(study.cells_root), spec.candidate + spec.baseline)
    chosen = {chosen_cell(spec, side, metrics) for side in (spec.candidate, spec.baseline)}
    assert len(chosen) == 2 < len(spec.may_steer)
    assert wanted(study, asked()) == chosen
    assert set(read(study, file, asked())["weights"]) == {
        study.cell_file(cell, WEIGHTS) for cell in chosen
    }
    train(study)
    assert wanted(study, asked()) == set(spec.may_steer)


def test_a_cell_without_current_metrics_leaves_the_choice_open(study, file):
    spec = study.dials[file]
    put_back(study, spec.candidate + spec.baseline)
    Path(study.metrics(spec.baseline[0])).write_text("{}")
    assert wanted(study, asked()) == set(spec.may_steer)
