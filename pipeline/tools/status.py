"""What a study is doing: cells finished, running and failed, how fast, how long still.

From its files alone: it works beside a run, on another node, and after a crash.

    watch python -m pipeline status --configfile FILE.yaml
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.study.cell import Cell
from pipeline.study.made_for import is_made_for
from pipeline.study.outputs import SPLITS
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG
from sagsae.files import FileLock

State = Literal["finished", "running", "failed", "waiting"]
# A line of ``pipeline.jobs.progress``.
PROGRESS = re.compile(r"[\w-]+ [^:]+: (?P<done>[\d,]+)/(?P<total>[\d,]+) .*")
# Begins the line by which a stage says why it failed.
ERROR = "error: "
# Seconds after whose silence a job without a lock of its own is not taken to run.
FRESH = 120.0


@dataclass(frozen=True)
class Job:
    """What is known of one job."""

    name: str
    state: State
    log: Path
    # When its output or its log was last written, in seconds since 1970; 0 for never.
    at: float
    # Why it failed; else its last line of progress.
    said: str = ""


@dataclass(frozen=True)
class Status:
    """What a study is doing at one moment."""

    study: Study
    now: float
    # The Snakemake that runs it, such as "process 7 on node3"; empty where none does.
    run: str
    cells: Sequence[Job]
    # Jobs of other stages that run or failed.
    others: Sequence[Job]

    @classmethod
    def of(cls, study: Study, now: float) -> Status:
        """Look at the files of a study, at so many seconds since 1970."""
        cells = [cell_job(study, cell) for cell in study.cells]
        return cls(study, now, _holder(Path(study.run_lock)), cells, list(_other_jobs(study, now)))

    def pace(self) -> tuple[float, float] | None:
        """Cells an hour, and the seconds that the rest takes at that pace.

        The pace is that since the first cell of this run was finished; None before the second. A
        cell counts by its products: the tokens that it trains on times its latents times d.
        """
        study = self.study
        start = _written(Path(study.run_lock)) if self.run else self.now
        work = {
            cell.path: study.training(cell).tokens * cell.width * study.models[cell.model].d_model
            for cell in study.cells
        }
        ended = [job for job in self.cells if job.state == "finished" and job.at >= start]
        ended.sort(key=lambda job: job.at)
        if len(ended) < 2:
            return None
        seconds = self.now - ended[0].at
        done = sum(work[job.name] for job in ended[1:])
        left = sum(work[job.name] for job in self.cells if job.state != "finished")
        return 3600 * (len(ended) - 1) / seconds, left * seconds / done

    def lines(self) -> Iterator[str]:
        """All of it in words."""
        study, counts = self.study, Counter[str](job.state for job in self.cells)
        parts = [f"{counts[state]} {state}" for state in ("running", "failed", "waiting")]
        finished = f"{counts['finished']} of {len(self.cells)} cells finished"
        yield f"study {study.config.study}: {', '.join([finished, *parts])}"
        is_finished = counts["finished"] == len(self.cells)
        idle = "every cell is finished" if is_finished else "the same command continues"
        yield f"run:     {self.run or f'none; {idle}'}"
        models = {cell.model for cell in study.cells}
        stores = [Path(study.manifest(model, split)) for model in models for split in SPLITS]
        yield f"stores:  {sum(path.exists() for path in stores)} of {len(stores)}"
        if pace := self.pace():
            yield f"rate:    {pace[0]:.1f} cells an hour, about {duration(pace[1])} left"
        root = Path(study.root)
        free = shutil.disk_usage(next(at for at in (root, *root.parents) if at.exists())).free
        own, shared = gigabytes(bytes_under(root)), gigabytes(bytes_under(Path(study.cache)))
        yield f"disk:    {own} of this study, {shared} in the cache, {gigabytes(free)} free"
        yield from self._listed("running")
        yield from self._listed("failed")

    def _listed(self, state: State) -> Iterator[str]:
        jobs = [job for job in (*self.cells, *self.others) if job.state == state]
        if jobs:
            yield f"\n{state}:"
        for job in jobs:
            yield f"  {job.name}\n    {job.said}"
            yield f"    {job.log} (written {duration(max(self.now - job.at, 0))} ago)"


def cell_job(study: Study, cell: Cell) -> Job:
    """The job of one cell: it runs while a process holds the lock of its folder, on whatever host.

    Where the file system has no locks across hosts, a job of another host looks as if it waited.
    """
    metrics, log = Path(study.metrics(cell)), Path(study.log("cells", cell.path))
    if _holder(metrics.with_name(".lock")):
        return Job(cell.path, "running", log, _written(log), _last_words(log)[1])
    if is_made_for(metrics, study.cell_made_for(cell)):
        return Job(cell.path, "finished", log, _written(metrics))
    failed, said, _ = _last_words(log)
    return Job(cell.path, "failed" if failed else "waiting", log, _written(log), said)


def _other_jobs(study: Study, now: float) -> Iterator[Job]:
    """Jobs of other stages that end in an error, or that said a moment ago how far they are."""
    root = Path(study.path("logs"))
    for log in sorted(root.rglob("*.log")):
        name = log.relative_to(root).with_suffix("")
        if name.parts[0] == "cells":
            continue
        (failed, said, is_done), at = _last_words(log), _written(log)
        if failed or (said and not is_done and at >= now - FRESH):
            yield Job(str(name), "failed" if failed else "running", log, at, said)


def _last_words(log: Path) -> tuple[bool, str, bool]:
    """Whether a log ends in an error; the error, or its last progress; whether that is the end."""
    text = log.read_text(errors="replace") if log.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith(ERROR):
            return True, " ".join(map(str.strip, lines[number:])).removeprefix(ERROR), False
        if lines[number].startswith("Traceback "):
            return True, lines[-1].strip(), False
    for line in reversed(lines):
        if found := PROGRESS.fullmatch(line):
            return False, line, found["done"] == found["total"]
    return False, "", False


def _holder(lock: Path) -> str:
    """The process that has a lock alone; empty where none has."""
    try:
        return FileLock(lock).holder()
    except FileNotFoundError:
        return ""


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def bytes_under(folder: Path) -> int:
    """What the files of a folder take on the disk; zero where there is none."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # a job removed it meanwhile
    return total


def duration(seconds: float) -> str:
    """Such as "3 h 12 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{rest} s"


def gigabytes(size: int) -> str:
    """A size in GB of 10^9 bytes, or in MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def main(configfile: Path = DEFAULT_CONFIG) -> None:
    """Print it.

    Args:
        configfile: configuration of the study (default: the local study)
    """
    found = Status.of(Study.load(configfile), time.time())
    print("\n".join(found.lines()))
