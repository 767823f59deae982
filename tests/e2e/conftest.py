"""The smoke study runs once, and the tests look at what came out."""

from __future__ import annotations

import math
import shutil

import pytest

from pipeline.study.study import Study
from sagsae.files import FileLock
from tests.helpers.workflow import ROOT, Finished, Workflow


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Finished:
    """The smoke study, run as a user runs it on a machine without a GPU.

    It runs once: each worker of pytest has a copy.
    """
    config, folder = ROOT / "workflow" / "configs" / "smoke.yaml", tmp_path_factory.mktemp("smoke")
    if worker_id == "master":
        output = ran(Workflow(folder, config))
    else:
        shared = tmp_path_factory.getbasetemp().parent / "smoke"
        lock = FileLock(shared.with_suffix(".lock"))
        lock.acquire(patience=math.inf)
        try:
            if not shared.with_suffix(".txt").exists():
                shared.with_suffix(".txt").write_text(ran(Workflow(shared, config)))
        finally:
            lock.release()
        output = shared.with_suffix(".txt").read_text()
        shutil.copytree(shared, folder, symlinks=True, dirs_exist_ok=True)
    return Finished(folder, config, study=Study.load(config), output=output)


def ran(workflow: Workflow) -> str:
    """What a study prints that runs to its end."""
    workflow.folder.mkdir(exist_ok=True)
    done = workflow.run("--resources", "gpu=2")
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def elsewhere(tmp_path) -> Workflow:
    """The workflow in an empty folder, with its default configuration."""
    return Workflow(tmp_path)
