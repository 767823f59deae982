"""A study that continues on another machine, where nothing lies but the metrics that were kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline.report.publish import publish_unfinished
from pipeline.report.restore import main, restore
from tests.e2e.conftest import Finished, Workflow

CELL = "tiny-gpt-neox/attn/gated/w256_lam0.1_seed0"
METRICS = f"results/smoke/cells/{CELL}/metrics.json"
MADE = {"dump", "asset", "tokens", "baselines", "documents", "cell"}


@pytest.fixture(scope="module")
def kept(smoke: Finished, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "smoke"
    assert publish_unfinished(smoke.study, folder, smoke.folder) == len(smoke.study.cells)
    return folder


@pytest.fixture
def elsewhere(smoke: Finished, kept: Path, tmp_path: Path) -> Workflow:
    assert restore(smoke.study, kept, tmp_path) == (len(smoke.study.cells), [])
    return Workflow(tmp_path, smoke.config)


def of_models(planned: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in planned.items() if name in MADE}


def test_a_finished_study_needs_no_store_and_trains_nothing(elsewhere):
    planned = elsewhere.planned()
    assert of_models(planned) == {}
    assert planned["make_tables"] == 1
    assert elsewhere.planned(METRICS) == {}


def test_a_missing_cell_alone_is_trained_on_the_stores_of_its_model(elsewhere, smoke):
    shutil.rmtree((elsewhere.folder / METRICS).parent)
    assert of_models(elsewhere.planned()) == {
        "asset": 1,
        "documents": 1,
        "tokens": 2,
        "dump": 2,
        "baselines": 1,
        "cell": 1,
    }
    done = elsewhere.run()
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("train tiny") == done.stdout.count(f"train {CELL}") > 0
    again, before = (json.loads((at.folder / METRICS).read_text()) for at in (elsewhere, smoke))
    assert again["made_from"] == before["made_from"]
    assert (again["r2"], again["l0"]) == (before["r2"], before["l0"])
    assert elsewhere.planned() == {}


@pytest.mark.parametrize(
    "asked", [["--force", METRICS], [METRICS.replace("metrics.json", "sae.safetensors")]]
)
def test_a_kept_cell_that_is_asked_for_again_gets_its_stores(elsewhere, asked):
    planned = of_models(elsewhere.planned(*asked))
    assert (planned["cell"], planned["dump"]) == (1, 2)


def test_forcing_all_trains_all(elsewhere, smoke):
    assert elsewhere.planned("--forceall")["cell"] == len(smoke.study.cells)
    assert elsewhere.planned("--forcerun", "cell")["cell"] == len(smoke.study.cells)


def test_what_was_kept_under_other_settings_is_trained_again(
    smoke, kept, tmp_path, monkeypatch, capsys
):
    source, work = tmp_path / "kept", tmp_path / "work"
    shutil.copytree(kept, source)
    changed = source / "cells" / CELL / "metrics.json"
    changed.write_text(changed.read_text().replace('"train": "', '"train": "0'))
    assert restore(smoke.study, source, work) == (len(smoke.study.cells) - 1, [CELL])
    assert not (work / METRICS).exists()
    planned = Workflow(work, smoke.config).planned()
    assert planned["cell"] == 1
    monkeypatch.chdir(work)
    capsys.readouterr()
    main(source, smoke.config)
    said = capsys.readouterr()
    assert said.out == f"0 cells put back, 1 of {len(smoke.study.cells)} are left to train\n"
    assert said.err.endswith(f"are trained again: {CELL}\n")


def test_cells_are_added_to_those_that_were_kept(smoke, kept, tmp_path):
    """A study is kept as it goes, from several machines."""
    source, work = tmp_path / "kept", tmp_path / "work"
    source.mkdir()
    shutil.copytree(kept / "cells" / CELL, source / "cells" / "other" / "cell")
    work.mkdir()
    place = work / METRICS
    place.parent.mkdir(parents=True)
    shutil.copyfile(kept / "cells" / CELL / "metrics.json", place)
    assert publish_unfinished(smoke.study, source, work) == 1
    found = [path.relative_to(source).as_posix() for path in source.rglob("*.json")]
    assert sorted(found) == [
        "cells/other/cell/metrics.json",
        f"cells/{CELL}/metrics.json",
        "configuration.json",
    ]


def test_steering_that_was_not_kept_trains_the_two_cells_it_needs(elsewhere, smoke):
    file, spec = next(iter(smoke.study.dials.items()))
    (elsewhere.folder / file).unlink()
    planned = elsewhere.planned()
    assert (planned["dial_run"], planned["cell"]) == (1, 2)
    assert len(spec.may_steer) > 2
