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
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

from pipeline.study.cell import Cell
from pipeline.study.made_for import is_made_for
from pipeline.study.outputs import SPLITS
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG
from sagsae.files import FileLock

# A line of ``pipeline.jobs.progress``.
PROGRESS = re.compile(r"[\w-]+ [^:]+: (?P<done>[\d,]+)/(?P<total>[\d,]+) .*")
# Begins the line by which a stage says why it failed.
ERROR = "error: "
# Seconds after whose silence a job without a lock of its own is not taken to run.
FRESH = 120.0


class Job(NamedTuple):
    """What is known of one job."""

    name: str
    state: Literal["finished", "running", "failed", "waiting"]
    log: Path
    # When its output or its log was last written, in seconds since 1970; 0 for never.
    at: float
    # Why it failed; else its last line of progress.
    said: str = ""


def cell_job(study: Study, cell: Cell) -> Job:
    """The job of one cell: it runs while a process holds the lock of its folder, on whatever host.

    Where the file system has no locks across hosts, a job of another host looks as if it waited.
    """
    metrics, log = Path(study.metrics(cell)), Path(study.log("cells", cell.path))
    if holder(metrics.with_name(".lock")):
        return Job(cell.path, "running", log, written(log), last_words(log)[1])
    if is_made_for(metrics, study.cell_made_for(cell)):
        return Job(cell.path, "finished", log, written(metrics))
    failed, said, _ = last_words(log)
    return Job(cell.path, "failed" if failed else "waiting", log, written(log), said)


def other_jobs(study: Study, now: float) -> Iterator[Job]:
    """Jobs of other stages that end in an error, or that said a moment ago how far they are."""
    root = Path(study.path("logs"))
    for log in sorted(root.rglob("*.log")):
        name = log.relative_to(root).with_suffix("").as_posix()
        (failed, said, is_done), at = last_words(log), written(log)
        if name.startswith("cells/"):
            continue
        if failed or (said and not is_done and at >= now - FRESH):
            yield Job(name, "failed" if failed else "running", log, at, said)


def last_words(log: Path) -> tuple[bool, str, bool]:
    """Whether a log ends in an error; the error, or its last progress; whether that is the end."""
    text = log.read_text(errors="replace") if log.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith(ERROR):
            return True, " ".join(map(str.strip, lines[number:])).removeprefix(ERROR), False
        if lines[number].startswith("Traceback "):
            return True, lines[-1].strip(), False
    for line in reversed(lines):
        if match := PROGRESS.fullmatch(line):
            return False, line, match["done"] == match["total"]
    return False, "", False


def holder(lock: Path) -> str:
    """The process that has a lock alone; empty where none has."""
    return FileLock(lock).holder() if lock.exists() else ""


def written(path: Path) -> float:
    """When a file was last written, in seconds since 1970; 0 where there is none."""
    return path.stat().st_mtime if path.exists() else 0.0


def pace(study: Study, jobs: Sequence[Job], since: float, now: float) -> tuple[float, float] | None:
    """Cells an hour, and the seconds that the rest takes at that pace.

    The pace is that since the first cell of this run was finished; None before the second. A cell
    counts by its products: the tokens that it trains on times its latents times d.
    """
    work = {
        cell.path: study.training(cell).tokens * cell.width * study.models[cell.model].d_model
        for cell in study.cells
    }
    finished = sorted((job.at, job.name) for job in jobs if job.state == "finished")
    ended = [(at, name) for at, name in finished if at >= since]
    if len(ended) < 2:
        return None
    seconds, done = now - ended[0][0], sum(work[name] for _, name in ended[1:])
    left = sum(work.values()) - sum(work[name] for _, name in finished)
    return 3600 * (len(ended) - 1) / seconds, left * seconds / done


def lines(study: Study, now: float) -> Iterator[str]:
    """What a study does at so many seconds since 1970, in words."""
    cells, run = [cell_job(study, cell) for cell in study.cells], holder(Path(study.run_lock))
    counts = Counter(job.state for job in cells)
    states = [f"{counts[state]} {state}" for state in ("running", "failed", "waiting")]
    done = f"{counts['finished']} of {len(cells)} cells finished"
    yield f"study {study.config.study}: {', '.join([done, *states])}"
    left = (
        "the same command continues"
        if counts["finished"] < len(cells)
        else "every cell is finished"
    )
    yield f"run:     {run or f'none; {left}'}"
    stores = [Path(study.manifest(*store)) for store in product(study.models, SPLITS)]
    yield f"stores:  {sum(path.exists() for path in stores)} of {len(stores)}"
    since = written(Path(study.run_lock)) if run else now
    if rate := pace(study, cells, since, now):
        yield f"rate:    {rate[0]:.1f} cells an hour, about {duration(rate[1])} left"
    root = Path(study.root)
    free = shutil.disk_usage(next(at for at in (root, *root.parents) if at.exists())).free
    used, shared = (gigabytes(bytes_under(folder)) for folder in (root, Path(study.cache)))
    yield f"disk:    {used} of this study, {shared} in the cache, {gigabytes(free)} free"
    jobs = [*cells, *other_jobs(study, now)]
    for state in ("running", "failed"):
        listed = [job for job in jobs if job.state == state]
        if listed:
            yield f"\n{state}:"
        for job in listed:
            yield f"  {job.name}\n    {job.said}"
            yield f"    {job.log} (written {duration(max(now - job.at, 0))} ago)"


def bytes_under(folder: Path) -> int:
    """What the files of a folder take on the disk; zero where there is none."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # a job removed it meanwhile
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
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


def main(configfile: Path = DEFAULT_CONFIG, config: Sequence[str] = ()) -> None:
    """Print it.

    Args:
        configfile: configuration of the study (default: the local study)
        config: KEY=VALUE, as Snakemake's --config
    """
    print("\n".join(lines(Study.load(configfile, config), time.time())))
