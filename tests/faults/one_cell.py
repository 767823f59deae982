"""A study of one cell that trains for some seconds, and looks at what its processes do."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagsae.training.checkpoint import newest_checkpoint
from tests.e2e.conftest import Workflow
from tests.faults.workflow_results import planned_stages, reduced_smoke

STUDY = Path("results/smoke")
CELL = STUDY / "cells/tiny-smollm3/resid/gated/w256_lam0.1_seed0"
TARGET = f"{CELL}/metrics.json"
BLOCKS, BATCH = 32, 512
TOKENS = 1 << 20  # about ten seconds of training, with a checkpoint a second
PATIENCE = 240.0
"""Seconds until a test gives up what it waits for."""


def configure(folder: Path, **more: Any) -> Path:
    """One model, one hookpoint, one cell that trains for some seconds, one core."""
    grid = [{"variant": "gated", "expansion": 4, "lambdas": [0.1]}]
    sections: dict[str, Any] = {"hookpoints": ["resid"], "grid": grid, "comparisons": []}
    dump = {"train_rows": BLOCKS * 2048}
    training = {"tokens": TOKENS, "batch_size": BATCH}
    sections["cache"] = f"{STUDY}/cache"
    return reduced_smoke(folder, **sections, dump=dump, training=training, **more)


def commands(workflow: Workflow) -> list[tuple[str, list[str]]]:
    """Rule, and module with command line, of every stage up to the cell, in order."""
    done = workflow.run("--cores", "1", TARGET, "--dry-run", "--printshellcmds")
    stages = planned_stages(done.stdout)
    assert len(stages) == 8, done.stdout
    return stages


@dataclass(frozen=True)
class Finished:
    """The study up to its cell, made by one process a stage and nothing amiss."""

    workflow: Workflow
    stages: list[tuple[str, list[str]]]

    def copy(self, folder: Path, *without: Path) -> Workflow:
        """The study in another folder, as new as it is here, without some of its parts."""
        shutil.copytree(self.workflow.folder / "results", folder / "results")
        for part in without:
            path = folder / part
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return Workflow(folder, self.workflow.config)


@contextmanager
def running(workflow: Workflow, *arguments: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Snakemake on one core, in the background; afterwards nothing of its process group is left."""
    with log.open("a") as output:
        run = workflow.start("--cores", "1", *arguments, output=output)
    try:
        yield run
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def wait_for(what: str, condition: Callable[[], Any], pause: float = 0.005) -> Any:
    """Whatever ``condition`` says once it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not in {PATIENCE} s"
        time.sleep(pause)
    return found


def holder(lock: Path) -> int:
    """The process that a lock file names; 0 for none."""
    text = lock.read_text() if lock.exists() else ""
    found = re.match(r"process (\d+) on ", text)
    return int(found[1]) if found else 0


def states(process: int) -> set[str]:
    """What the threads of a process are doing: letters of proc(5), none when it is gone."""
    found = set()
    for task in Path(f"/proc/{process}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found.add(task.read_text().rpartition(")")[2].split()[0])
    return found


def progress(folder: Path) -> float:
    """Share of the training that is in the cell's newest checkpoint."""
    for path in (folder / CELL / ".state").glob("checkpoint-*"):
        with suppress(RuntimeError):  # it was replaced just now
            newest = newest_checkpoint(path.with_name(path.name.removesuffix(".previous")))
            return newest[1]["step"] * BATCH / TOKENS if newest else 0.0
    return 0.0


def trainer(folder: Path) -> int:
    """The process that trains the cell; 0 for none."""
    return holder(folder / CELL / ".state/.lock")
