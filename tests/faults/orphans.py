"""Jobs that outlive the Snakemake that started them, and the run that comes after."""

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

from sagsae.files import TEMPORARY_SUFFIXES
from sagsae.training.checkpoint import newest_checkpoint
from tests.e2e.conftest import Workflow
from tests.faults.workflow_results import planned_stages, reduced_smoke, results_digest

STUDY = Path("results/smoke")
CELL = STUDY / "cells/tiny-smollm3/resid/gated/w256_lam0.1_seed0"
TARGET = f"{CELL}/metrics.json"
MANIFEST = f"{STUDY}/manifests/tiny-smollm3-train.json"
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


def alive(process: int) -> bool:
    """Whether a process still runs; one that nobody has waited for yet does not."""
    return bool(states(process) - {"Z", "X"})


@dataclass(frozen=True)
class Job:
    """A job of the study that can be orphaned.

    Attributes:
        target: What to ask Snakemake for.
        lock: Pattern of the files, one of which names the process that does the work.
        log: The job's log.
        makes: What it makes, below the study.
    """

    target: str
    lock: str
    log: Path
    makes: tuple[str, ...]

    def progress(self, folder: Path) -> float:
        """How much is done: share of the training in the newest checkpoint, or committed blocks."""
        if self is DUMP:
            return len(commits(folder))
        for path in (folder / CELL / ".state").glob("checkpoint-*"):
            with suppress(RuntimeError):  # it was replaced just now
                newest = newest_checkpoint(path.with_name(path.name.removesuffix(".previous")))
                return newest[1]["step"] * BATCH / TOKENS if newest else 0.0
        return 0.0

    def process(self, folder: Path) -> int:
        """The one that does the work; 0 for none."""
        return max(map(holder, folder.glob(self.lock)), default=0)

    def digest(self, folder: Path) -> str:
        """Of everything that it made."""
        return results_digest(folder / STUDY, self.makes)


TRAIN = Job(
    TARGET,
    f"{CELL}/.state/.lock",
    STUDY / "logs" / f"{CELL.relative_to(STUDY)}.log",
    ("cells",),
)
DUMP = Job(
    MANIFEST,
    f"{STUDY}/cache/stores/.*.lock",
    STUDY / "logs/dump/tiny-smollm3-train.log",
    ("manifests/tiny-smollm3-train.json", "cache/stores"),
)


def commits(folder: Path) -> dict[str, int]:
    """Blocks of the training store that are finished, and when they were."""
    files = (folder / STUDY).glob("cache/stores/*-train-*/commits/*.json")
    return {str(path): path.stat().st_mtime_ns for path in files}


@dataclass
class Outcome:
    """What came of an orphan and of the run after it.

    Attributes:
        lived: The job outlived its Snakemake.
        told: The successor's log named the process that it waited for.
        status: Exit status of the run after it.
        digest: Of what was made.
        lost: Finished work that was done again.
        leftovers: Temporary files that are still there.
        seconds: Until the successor had taken over from an orphan that was killed.
        output: Of the runs.
    """

    lived: bool
    told: bool
    status: int
    digest: str
    lost: int
    leftovers: list[Path]
    seconds: float
    output: str


def orphan(job: Job, workflow: Workflow, moment: float, fate: str) -> Outcome:
    """Kill Snakemake while a job runs, and run the same command again.

    Args:
        job: The job.
        workflow: A folder in which nothing but this job is to be done.
        moment: ``Job.progress`` at which Snakemake is killed.
        fate: Of the orphan: ``finishes`` while the successor waits, is ``killed`` while it waits,
            is ``done`` before it starts; with ``free`` nothing is held up to make sure.
    """
    folder, log = workflow.folder, workflow.folder / "log"
    with running(workflow, job.target, log=log) as first:
        wait_for("the job", lambda: job.progress(folder) >= moment or first.poll() is not None)
        process = job.process(folder)
        assert process > 1, log.read_text()
        if fate in ("finishes", "killed"):
            os.kill(process, signal.SIGSTOP)  # a slow one: the successor is certain to meet it
        first.kill()
        first.wait()
        lived = alive(process)
        if fate == "done":
            wait_for("the orphan's end", lambda: not alive(process))
        with running(workflow, job.target, log=log) as second:
            told, lost, seconds = succession(job, folder, process, second, fate)
    lines = log.read_text().splitlines()  # of the orphan as well
    trained = sum(line.startswith("train ") and "done in" in line for line in lines)
    return Outcome(
        lived=lived,
        told=told,
        status=second.returncode,
        digest=job.digest(folder),
        lost=lost + max(trained - 1, 0),
        leftovers=[p for p in folder.rglob("*") if p.name.endswith(TEMPORARY_SUFFIXES)],
        seconds=seconds,
        output="\n".join(lines),
    )


def succession(
    job: Job, folder: Path, process: int, second: subprocess.Popen[str], fate: str
) -> tuple[bool, int, float]:
    """``told``, ``lost`` and ``seconds`` of an ``Outcome``, at the end of the second run."""
    before, done = commits(folder), job.progress(folder)
    told, lost, seconds = False, 0, 0.0
    if fate in ("finishes", "killed"):
        message = wait_for("a message", lambda: names(folder / job.log, process) or ended(second))
        told = message is True
    if fate == "killed":
        os.kill(process, signal.SIGKILL)
        began = time.monotonic()
        wait_for("the successor", lambda: job.process(folder) not in (0, process))
        seconds = time.monotonic() - began
        lost += went_back(job, folder, second, done)
    elif fate in ("finishes", "free"):
        if fate == "finishes":
            os.kill(process, signal.SIGCONT)
        wait_for("the orphan's end", lambda: not alive(process))
        before = commits(folder)
    second.wait(PATIENCE)
    after = commits(folder)
    return told, lost + sum(after.get(path) != when for path, when in before.items()), seconds


def names(log: Path, process: int) -> bool:
    """Whether a job says in its log that it waits for a process."""
    text = log.read_text() if log.exists() else ""
    return f"in use by process {process} on" in text and "waiting since" in text


def ended(run: subprocess.Popen[str]) -> str:
    """Truth that is not ``True`` when a run came to its end before its time."""
    return "" if run.poll() is None else "ended"


def went_back(job: Job, folder: Path, run: subprocess.Popen[str], done: float) -> bool:
    """Whether the first progress of a run is less than what the orphan left."""

    def newer() -> float | str:
        now = job.progress(folder)
        return now if now not in (0.0, done) else ended(run)

    found = wait_for("progress", newer)
    return not isinstance(found, str) and found < done
