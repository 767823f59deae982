"""SIGKILL of Snakemake, alone or with its jobs: the same command again ends with the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pipeline.study.study import Study
from pipeline.tools.verify import verify
from tests.helpers.workflow import Workflow, differences, ended, reduced_smoke, results_digest


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, float]:
    """Results and duration of the small study without a kill, every process started by itself."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    done = ended(Workflow(folder, reduced_smoke(folder)).start())
    assert done.returncode == 0, done.stdout
    return folder / "results" / "smoke", time.monotonic() - began


@pytest.mark.long
def test_a_killed_snakemake_continues_with_the_same_command(campaign, undisturbed, tmp_path):
    whole_study, seconds = undisturbed
    workflow = Workflow(tmp_path, reduced_smoke(tmp_path))
    chance, kills = campaign.chance("snakemake"), campaign.times(full=12, short=2)
    log, killed = (tmp_path / "log").open("w"), 0
    while killed < kills:
        running = workflow.start(output=log)
        time.sleep(chance.uniform(1.0, max(2.5, 0.4 * seconds)))
        alone = chance.random() < 0.5
        (os.kill if alone else os.killpg)(running.pid, signal.SIGKILL)
        if running.wait() == -signal.SIGKILL:
            killed += 1
        elif killed < kills:  # it came to its end first: let it begin again
            subprocess.run(["rm", "-rf", tmp_path / "results"], check=True)
    done = workflow.run()
    study = tmp_path / "results" / "smoke"
    expected, found = results_digest(whole_study), results_digest(study)
    whole = done.returncode == 0 and found == expected
    campaign.record(
        "SIGKILL: snakemake", injected=kills, detected=killed, recovered=kills if whole else 0
    )
    assert done.returncode == 0, done.stdout
    assert differences(whole_study, study) == []
    assert found == expected
    assert workflow.planned() == {}


def test_a_snakemake_that_is_killed_with_its_jobs_continues(tmp_path, monkeypatch):
    workflow = Workflow(tmp_path, reduced_smoke(tmp_path))
    study = Study.load(workflow.config)
    target = study.manifest("tiny-smollm3", "heldout")
    with (tmp_path / "log").open("w") as log:
        running = workflow.start(target, output=log)
    while not (tmp_path / study.documents).exists():
        assert running.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    done = workflow.run(target)
    assert done.returncode == 0, done.stdout
    assert workflow.planned(target) == {}
    monkeypatch.chdir(tmp_path)
    assert verify(study).faults == []


def test_a_cell_that_diverges_stops_alone(campaign, tmp_path):
    grid = [
        {"variant": "gated", "width": 64, "lambdas": [0.1, 1.0e39], "hookpoints": ["resid"]},
    ]
    workflow = Workflow(tmp_path, reduced_smoke(tmp_path, grid=grid, comparisons=[]))
    done = workflow.run()
    cells = tmp_path / "results/smoke/cells/tiny-smollm3/resid/gated"
    good, bad = cells / "w64_lam0.1_seed0", cells / "w64_lam1e+39_seed0"
    stopped = done.returncode != 0 and "NonFiniteLoss" in done.stdout
    alone = (good / "metrics.json").exists() and not (bad / "metrics.json").exists()
    campaign.record(
        "loss not finite, in one cell of two",
        injected=1,
        detected=int(stopped),
        recovered=int(alone),
        lost=0,
    )
    assert stopped, done.stdout
    assert "learning_rate" in done.stdout
    assert "rows" in done.stdout
    assert "of the stream" in done.stdout
    assert alone
