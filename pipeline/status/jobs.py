"""What each job of a study is doing, from its outputs, its lock and its log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.study.cell import Cell
from pipeline.study.current import is_current
from pipeline.study.study import Study
from sagsae.files import FileLock

State = Literal["finished", "outdated", "running", "failed", "stopped", "waiting"]
"""outdated: its metrics are of another configuration. stopped: it began and nobody works on it; the
log holds no error."""
PROGRESS = re.compile(
    r"(?P<what>[\w-]+) [^:]+: (?P<done>[\d,]+)/(?P<total>[\d,]+) (?P<unit>[\w ]+)"
    r"(?:, (?P<rate>[\d,]+)/s, (?:ETA (?P<left>[^,]+)|done in [^,]+))?(?:, (?P<more>.*))?"
)
"""A line of ``pipeline.jobs.progress``."""
ERROR = "error: "
"""Begins the line by which a stage says why it failed."""
STARTING = 30.0
"""Seconds in which a job may have a log and no lock yet."""
TAIL = 8192
"""Bytes at the end of a log that are read."""


@dataclass(frozen=True)
class Progress:
    """Where a job says that it is."""

    what: str
    done: int
    total: int
    unit: str
    rate: int
    """Units a second; 0 where it is not known yet."""
    left: str
    """Such as "3 min"; empty where this part is over."""
    more: str
    """Such as "loss 0.0834, L0 283.2"."""

    @classmethod
    def last_of(cls, lines: list[str]) -> Progress | None:
        """The last such line."""
        for line in reversed(lines):
            if found := PROGRESS.fullmatch(line.strip()):
                numbers = (found[name] or "0" for name in ("done", "total", "rate"))
                done, total, rate = (int(number.replace(",", "")) for number in numbers)
                left, more = found["left"] or "", found["more"] or ""
                return cls(found["what"], done, total, found["unit"], rate, left, more)
        return None


@dataclass(frozen=True)
class Job:
    """What is known of one job."""

    name: str
    state: State
    log: Path
    at: float = 0.0
    """When its output or its log was last written, in seconds since 1970."""
    progress: Progress | None = None
    reason: str = ""
    """Why it failed."""


def cell_job(study: Study, cell: Cell, now: float) -> Job:
    """The job of one cell.

    It runs while a process holds the lock of its folder, on whatever host, or has just begun. Where
    the file system has no locks across hosts, a job of another host looks stopped.
    """
    metrics, log = Path(study.metrics(cell)), Path(study.log("cells", cell.path))
    measured, logged = _written(metrics), _written(log)
    locked = held(metrics.with_name(".lock"))
    if measured is not None and not locked:
        state: State = "finished" if is_current(study, cell, metrics) else "outdated"
        return Job(cell.path, state, log, measured)
    if logged is None:
        return Job(cell.path, "waiting", log)
    lines = tail(log)
    progress, reason = Progress.last_of(lines), reason_of(lines)
    if locked or (progress is None and not reason and now - logged < STARTING):
        return Job(cell.path, "running", log, logged, progress)
    return Job(cell.path, "failed" if reason else "stopped", log, logged, progress, reason)


def other_jobs(study: Study, since: float) -> list[Job]:
    """Jobs of other stages whose logs were written after ``since``, or end in an error."""
    root, found = Path(study.path("logs")), []
    for log in sorted(root.rglob("*.log")):
        own = log.relative_to(root)
        if own.parts[0] == "cells" and not log.name.startswith("together-"):
            continue
        lines, at = tail(log), _written(log) or 0.0
        reason, progress = reason_of(lines), Progress.last_of(lines)
        if reason:
            found.append(Job(str(own.with_suffix("")), "failed", log, at, progress, reason))
        elif at >= since and progress is not None and progress.done < progress.total:
            found.append(Job(str(own.with_suffix("")), "running", log, at, progress))
    return found


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


def held(lock: Path) -> bool:
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
