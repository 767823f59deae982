"""Real Snakemake on real folders. The smoke study runs once and the tests look at what came out."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
import yaml

from pipeline.jobs.cache import entry_folder
from pipeline.jobs.json_files import read_json
from pipeline.study.study import Study
from sagsae.files import FileLock
from tests import warm

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Workflow:
    """The project's workflow in a folder of its own."""

    folder: Path
    config: Path | None = None

    def start(
        self,
        *arguments: str,
        output: int | IO[str] = subprocess.PIPE,
        python: str | Path = sys.executable,
        **environment: str,
    ) -> subprocess.Popen[str]:
        """Start Snakemake as the leader of a process group; errors go where ``output`` goes.

        It and its jobs start by themselves, as a user's do, unless ``python`` is a warm one.
        """
        snakemake = [str(python), "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        configuration = ["--configfile", str(self.config)] if self.config else []
        options = [*configuration, "--directory", str(self.folder), "--cores", "2"]
        return subprocess.Popen(
            [*snakemake, *options, *arguments],
            text=True,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""} | environment,
            cwd=ROOT,
            start_new_session=True,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end; output and errors together in ``stdout``.

        It and its jobs start warm.
        """
        variables = warm.environment() | environment
        return ended(self.start(*arguments, python=warm.python(), **variables))

    def changed(self, **sections: dict[str, object]) -> Workflow:
        """The same folder under a configuration with some keys of some sections replaced."""
        assert self.config is not None
        raw = yaml.safe_load(self.config.read_text())
        for name, keys in sections.items():
            raw[name] |= keys
        config = self.folder / f"changed-{'-'.join(sections)}.yaml"
        config.write_text(yaml.safe_dump(raw))
        return Workflow(self.folder, config)

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs of a dry run by rule; empty when there is nothing to do."""
        done = self.run(*arguments, "--dry-run")
        assert done.returncode == 0, done.stdout
        print(done.stdout)  # the reasons, for whom an assertion on the plan fails
        table = done.stdout.split("Job stats:")[-1] if "Job stats:" in done.stdout else ""
        rows = [line.split() for line in table.splitlines()]
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def workflow_of(folder: Path, configuration: dict[str, Any]) -> Workflow:
    """The workflow in a folder, under a configuration that is written there."""
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(configuration))
    return Workflow(folder, config)


def ended(running: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """What a Snakemake printed, and how it ended."""
    output, _ = running.communicate()
    return subprocess.CompletedProcess(running.args, running.returncode, output)


@dataclass(frozen=True, kw_only=True)
class Finished(Workflow):
    """A study that ran to its end."""

    study: Study
    output: str

    def path(self, relative: str) -> Path:
        return self.folder / relative

    def entry(self, record: str) -> Path:
        """The cache's folder that a record of the study names."""
        return entry_folder(self.path(record), read_json(self.path(record)))


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
