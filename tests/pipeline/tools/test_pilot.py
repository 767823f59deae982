"""The pilot: lambdas for the L0 asked for, from a few short cells."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import yaml

from pipeline.jobs.json_files import write_json
from pipeline.study.study import Study
from pipeline.tools import pilot

SMOKE = Path(__file__).resolve().parents[3] / "workflow" / "configs" / "smoke.yaml"


@pytest.mark.parametrize(
    ("curve", "l0", "lam"),
    [
        ({0.1: 100.0, 0.4: 25.0, 1.6: 5.0}, 50, 0.2),
        ({0.1: 100.0, 0.4: 25.0, 1.6: 5.0}, 25, 0.4),
        ({0.1: 100.0, 0.4: 25.0}, 101, math.nan),
        ({0.1: 100.0, 0.4: 25.0}, 24, math.nan),
        ({0.1: 0.0, 0.4: 0.0}, 5, math.nan),
    ],
)
def test_l0_is_read_off_in_logarithms_and_nothing_is_extrapolated(curve, l0, lam):
    assert pilot.lambdas_at(curve, [l0]) == [pytest.approx(lam, nan_ok=True)]


def test_the_outermost_lambdas_leave_a_margin():
    curve = {lam: 10 / lam for lam in (0.01, 0.1, 1.0, 10.0)}
    assert pilot.lambdas_at(curve, [16, 64, 120]) == [0.78, 0.16, 0.067]


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """L0 falls as 1 / lambda in every cell, the error with width; results lie in the test's
    folder."""
    monkeypatch.chdir(tmp_path)
    studies: list[Study] = []

    def train(study: Study, config: Path) -> None:
        assert Study.load(config).cells == study.cells
        studies.append(study)
        for cell in study.cells:
            file = Path(study.metrics(cell))
            file.parent.mkdir(parents=True)
            r2 = 1 - 0.1 - cell.width**-0.5
            write_json(file, {"l0": 2 / cell.knob, "r2": r2, "collapsed": []})

    monkeypatch.setattr(pilot, "train", train)
    return studies


def test_the_printed_grid_has_the_lambdas(trained, capsys):
    pilot.main(SMOKE, [16, 64])
    printed = capsys.readouterr().out.partition("\ngrid:\n")[2]
    pasted = yaml.safe_load(SMOKE.read_text()) | yaml.safe_load("grid:\n" + printed)
    asked, found = Study.load(SMOKE), Study.from_dict(pasted)
    swept = {cell.sweep for cell in asked.cells if cell.lam is not None}
    assert {cell.sweep for cell in found.cells} == {cell.sweep for cell in asked.cells}
    lambdas = {(cell.sweep, cell.lam) for cell in found.cells if cell.lam is not None}
    assert lambdas == {(sweep, lam) for sweep in swept for lam in (0.025, 0.16)}


def test_the_pilot_is_short_and_a_study_of_its_own(trained):
    pilot.main(SMOKE, lambdas=[0.02, 0.2])
    (study,), asked = trained, Study.load(SMOKE)
    assert study.config.study == f"{asked.config.study}-pilot"
    training = asked.config.training
    few = max(training.tokens // 4, min(training.tokens, 200 * training.batch_size))
    assert {study.training(cell).tokens for cell in study.cells} == {few}
    assert {(cell.seed, cell.lam) for cell in study.cells} == {(0, 0.02), (0, 0.2)}


def test_three_widths_say_what_twice_the_widest_would_give(trained, tmp_path, capsys):
    raw = yaml.safe_load(SMOKE.read_text())
    (swept, *_) = [block for block in raw["grid"] if block.get("lambdas")]
    shape = {name: value for name, value in swept.items() if name not in ("width", "expansion")}
    raw["grid"] = [shape | {"width": width} for width in (128, 256, 512)]
    config = tmp_path / "three.yaml"
    config.write_text(yaml.safe_dump({k: v for k, v in raw.items() if k not in pilot.LEFT_OUT}))
    pilot.main(config, [16, 64])
    lines = [text for text in capsys.readouterr().out.splitlines() if "1024 latents" in text]
    assert len(lines) == len({cell.place.name + cell.model for cell in trained[0].cells})
    for line in lines:
        told = [float(text) for text in re.findall(r"R2 (\S+) at", line)]
        assert told == pytest.approx([1 - 0.1 - 1024**-0.5] * 2, abs=0.01)


def test_lambdas_that_give_no_l0_asked_for_are_an_error(trained):
    with pytest.raises(ValueError, match="--lambdas"):
        pilot.main(SMOKE, [100_000])
