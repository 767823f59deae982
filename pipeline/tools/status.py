"""What a study is doing: cells finished, running and failed, how fast, how long still.

From its files alone: it works beside a run, on another node, and after a crash.

    python -m pipeline status --configfile FILE.yaml --watch
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.study.cell import Cell
from pipeline.study.config.study_config import DEFAULT_CONFIG
from pipeline.study.current import is_current
from pipeline.study.study import SPLITS, Study
from sagsae.files import FileLock

State = Literal["finished", "outdated", "running", "failed", "stopped", "waiting"]
"""outdated: its metrics are of another configuration. stopped: it began and nobody works on it; the
log holds no error."""
PROGRESS = re.compile(r"(?P<what>[\w-]+) [^:]+: (?P<done>[\d,]+)/(?P<total>[\d,]+) (?P<rest>.*)")
"""A line of ``pipeline.jobs.progress``."""
ERROR = "error: "
"""Begins the line by which a stage says why it failed."""
STARTING, FRESH = 30.0, 120.0
"""Seconds in which a job may have a log and no lock yet, and after whose silence a job without a
lock of its own is not taken to run."""
TAIL = 8192
"""Bytes at the end of a log that are read."""
SEVERAL = 2
"""Finished cells of a run from which its pace leaves out what came before the first of them."""
LISTED = 20
"""Jobs of a kind that are shown."""
EVERY = 5.0
"""Seconds between two looks."""


@dataclass(frozen=True)
class Job:
    """What is known of one job."""

    name: str
    state: State
    log: Path
    at: float = 0.0
    """When its output or its log was last written, in seconds since 1970."""
    said: str = ""
    """Why it failed; else its last line of progress."""
    trained: float = 0.0
    """The share of its training that is behind it."""


@dataclass(frozen=True)
class Status:
    """What a study is doing at one moment."""

    study: Study
    now: float
    run: str
    """The Snakemake that runs it, such as "process 7 on node3"; empty where none does."""
    cells: Sequence[Job]
    others: Sequence[Job]
    """Jobs of other stages that run or failed."""

    @classmethod
    def of(cls, study: Study, now: float) -> Status:
        """Look at the files of a study, at so many seconds since 1970."""
        lock = Path(study.run_lock)
        run = FileLock(lock).holder() if lock.exists() else ""
        cells = [cell_job(study, cell, now) for cell in study.cells]
        return cls(study, now, run, cells, list(_other_jobs(study, now)))

    @property
    def is_finished(self) -> bool:
        return all(job.state == "finished" for job in self.cells)

    def pace(self) -> tuple[float, float] | None:
        """Cells an hour, and the seconds that the rest takes at that pace; None without a run.

        The pace is that since the first cell of this run was finished, once there are several:
        dumps come before it. A cell counts by its products: the tokens that it trains on times its
        latents times d.
        """
        if not self.run:
            return None
        study, start = self.study, Path(self.study.run_lock).stat().st_mtime
        work = {
            cell.path: study.training(cell).tokens * cell.width * study.models[cell.model].d_model
            for cell in study.cells
        }
        rest = [job for job in self.cells if job.state != "finished"]
        ended = [job for job in self.cells if job.state == "finished" and job.at >= start]
        ended.sort(key=lambda job: job.at)
        if len(ended) > SEVERAL:
            start, ended = ended[0].at, ended[1:]
        if not ended or self.now <= start:
            return None
        done = float(sum(work[job.name] for job in ended))
        done += sum(work[job.name] * job.trained for job in rest if job.state == "running")
        left = sum(work[job.name] * (1 - job.trained) for job in rest)
        return 3600 * len(ended) / (self.now - start), left * (self.now - start) / done

    def lines(self) -> Iterator[str]:
        """All of it in words."""
        study, counts = self.study, Counter[str](job.state for job in self.cells)
        states = ("outdated", "running", "failed", "stopped", "waiting")
        parts = [f"{counts[state]} {state}" for state in states if counts[state]]
        finished = f"{counts['finished']} of {len(self.cells)} cells finished"
        yield f"study {study.config.study}: {', '.join([finished, *parts])}"
        idle = "every cell is finished" if self.is_finished else "the same command continues"
        yield f"run:     {self.run or f'none; {idle}'}"
        models = {cell.model for cell in study.cells}
        stores = [Path(study.manifest(model, split)) for model in models for split in SPLITS]
        yield f"stores:  {sum(path.exists() for path in stores)} of {len(stores)}"
        if pace := self.pace():
            yield f"rate:    {pace[0]:.1f} cells an hour, about {duration(pace[1])} left"
        elif self.run:
            yield "rate:    not known yet: no cell has finished in this run"
        root = Path(study.root)
        free = shutil.disk_usage(next(at for at in (root, *root.parents) if at.exists())).free
        own, shared = gigabytes(bytes_under(root)), gigabytes(bytes_under(Path(study.cache)))
        yield f"disk:    {own} of this study, {shared} in the cache, {gigabytes(free)} free"
        for state in ("running", "failed", "stopped"):
            yield from self._listed(state)

    def _listed(self, state: State) -> Iterator[str]:
        jobs = [job for job in (*self.cells, *self.others) if job.state == state]
        if jobs:
            yield f"\n{state}:"
        for job in jobs[:LISTED]:
            yield f"  {job.name}"
            if job.said:
                yield f"    {job.said}"
            if state != "running" or self.now - job.at > 60:
                yield f"    {job.log} (written {duration(max(self.now - job.at, 0))} ago)"
        if len(jobs) > LISTED:
            yield f"  and {len(jobs) - LISTED} more"


def cell_job(study: Study, cell: Cell, now: float) -> Job:
    """The job of one cell.

    It runs while a process holds the lock of its folder, on whatever host, or has just begun. Where
    the file system has no locks across hosts, a job of another host looks stopped.
    """
    metrics, log = Path(study.metrics(cell)), Path(study.log("cells", cell.path))
    measured, logged = _written(metrics), _written(log)
    locked = _held(metrics.with_name(".lock"))
    if measured is not None and not locked:
        state: State = "finished" if is_current(study, cell, metrics) else "outdated"
        return Job(cell.path, state, log, measured)
    if logged is None:
        return Job(cell.path, "waiting", log)
    failed, said, share = _last_words(log)
    trained = share if said.startswith("train ") else float(bool(said and not failed))
    if locked or (not said and now - logged < STARTING):
        return Job(cell.path, "running", log, logged, "" if failed else said, trained)
    return Job(cell.path, "failed" if failed else "stopped", log, logged, said, trained)


def _other_jobs(study: Study, now: float) -> Iterator[Job]:
    """Jobs of other stages that end in an error, or that said a moment ago how far they are."""
    root = Path(study.path("logs"))
    for log in sorted(root.rglob("*.log")):
        own = log.relative_to(root)
        if own.parts[0] == "cells" and not log.name.startswith("together-"):
            continue
        (failed, said, share), at = _last_words(log), _written(log) or 0.0
        if failed or (said and share < 1 and at >= now - FRESH):
            state: State = "failed" if failed else "running"
            yield Job(str(own.with_suffix("")), state, log, at, said)


def _last_words(log: Path) -> tuple[bool, str, float]:
    """Whether a log ends in an error; the error, or its last line of progress; the share done."""
    lines = tail(log)
    if reason := reason_of(lines):
        return True, reason, 0.0
    for line in reversed(lines):
        if found := PROGRESS.fullmatch(line):
            done, total = (int(found[name].replace(",", "")) for name in ("done", "total"))
            said = f"{found['what']} {done / total:.0%}, {found['done']} of {found['total']} "
            return False, said + found["rest"], done / total
    return False, "", 0.0


def reason_of(lines: list[str]) -> str:
    """The error with which a log ends, or the last line of a traceback; empty where it has none."""
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith(ERROR):
            return " ".join(line.strip() for line in lines[number:]).removeprefix(ERROR)
        if lines[number].startswith("Traceback "):
            return lines[-1].strip()
    return ""


def tail(log: Path) -> list[str]:
    """The last lines of a log that are not empty; none where it is gone."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()]


def _held(lock: Path) -> bool:
    """Whether a process has a lock alone."""
    try:
        return bool(FileLock(lock).holder())
    except FileNotFoundError:
        return False


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


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


def main(configfile: Path = DEFAULT_CONFIG, watch: bool = False) -> None:
    """Print it.

    Args:
        configfile: configuration of the study (default: the local study)
        watch: again every few seconds, until every cell is finished or you press Ctrl-C
    """
    study = Study.load(configfile)
    on_screen = watch and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    while True:
        found = Status.of(study, time.time())
        clear = "\x1b[H\x1b[2J" if on_screen else ""
        print(clear + "\n".join(found.lines()), flush=True)
        if not watch or found.is_finished:
            return
        try:
            time.sleep(EVERY)
        except KeyboardInterrupt:
            return
