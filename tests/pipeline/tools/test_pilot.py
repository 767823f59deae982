"""The pilot: lambdas for the L0 asked for, from a few short cells."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pipeline.jobs.json_files import write_json
from pipeline.study.study import Study
from pipeline.tools import pilot

SMOKE = Path(__file__).resolve().parents[3] / "workflow" / "configs" / "smoke.yaml"


def test_l0_between_two_lambdas_is_read_off_in_logarithms():
    curve = {0.1: 100.0, 0.4: 25.0, 1.6: 5.0}
    assert pilot.lambda_at(curve, 50) == pytest.approx(0.2)
    assert pilot.lambda_at(curve, 25) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("curve", "l0"),
    [({0.1: 100.0, 0.4: 25.0}, 101), ({0.1: 100.0, 0.4: 25.0}, 24), ({0.1: 0.0, 0.4: 0.0}, 5)],
)
def test_nothing_is_extrapolated(curve, l0):
    assert math.isnan(pilot.lambda_at(curve, l0))


def test_the_outermost_lambdas_leave_a_margin():
    curve = {lam: 10 / lam for lam in (0.01, 0.1, 1.0, 10.0)}
    found = pilot.lambdas_of(curve, [16, 64, 120])
    assert found == {16: 0.78, 64: 0.16, 120: 0.067}


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """L0 falls as 1 / lambda in every cell; results lie in the test's folder."""
    monkeypatch.chdir(tmp_path)
    studies: list[Study] = []

    def train(study: Study, config: Path) -> None:
        assert Study.load(config).cells == study.cells
        studies.append(study)
        for cell in study.cells:
            file = Path(study.metrics(cell))
            file.parent.mkdir(parents=True)
            write_json(file, {"l0": 2 / cell.knob})

    monkeypatch.setattr(pilot, "train", train)
    return studies


def test_a_copy_of_the_configuration_has_the_lambdas(trained, tmp_path):
    out = tmp_path / "found.yaml"
    pilot.main(SMOKE, out, [16, 64])
    asked, found = Study.load(SMOKE), Study.load(out)
    swept = {cell.sweep for cell in asked.cells if cell.lam is not None}
    assert {cell.sweep for cell in found.cells} == {cell.sweep for cell in asked.cells}
    lambdas = {(cell.sweep, cell.lam) for cell in found.cells if cell.lam is not None}
    assert lambdas == {(sweep, lam) for sweep in swept for lam in (0.025, 0.16)}
    typed = [line for line in SMOKE.read_text().splitlines() if line.startswith(("#", "study"))]
    assert set(typed) <= set(out.read_text().splitlines())


def test_the_pilot_is_short_and_a_study_of_its_own(trained, tmp_path):
    pilot.main(SMOKE, tmp_path / "found.yaml", lambdas=[0.02, 0.2])
    (study,), asked = trained, Study.load(SMOKE)
    assert study.config.study == f"{asked.config.study}-pilot"
    training = asked.config.training
    few = max(training.tokens // 4, min(training.tokens, 200 * training.batch_size))
    assert {study.training(cell).tokens for cell in study.cells} == {few}
    assert {(cell.seed, cell.lam) for cell in study.cells} == {(0, 0.02), (0, 0.2)}


def test_a_file_that_is_there_is_not_overwritten(trained, tmp_path):
    out = tmp_path / "mine.yaml"
    out.write_text("mine")
    with pytest.raises(FileExistsError, match=r"mine\.yaml"):
        pilot.main(SMOKE, out)
    assert out.read_text() == "mine"


def test_lambdas_that_give_no_l0_asked_for_are_an_error(trained, tmp_path):
    with pytest.raises(ValueError, match="--lambdas"):
        pilot.main(SMOKE, tmp_path / "found.yaml", [100_000])
