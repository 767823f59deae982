"""What a study is doing: cells finished, running and failed, how fast, how long still.

From its files alone: it works beside a run, on another node, and after a crash.

python -m pipeline status --configfile FILE.yaml --watch
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.config.study_config import DEFAULT_CONFIG
from pipeline.status.jobs import Job
from pipeline.status.overview import Overview, overview, trained
from pipeline.study.study import Study

LISTED = 20
"""Jobs of a kind that are shown."""
EVERY = 5.0
"""Seconds between two looks."""
CLEAR = "\x1b[H\x1b[2J"
"""Clears a terminal."""


def lines(found: Overview, now: float) -> Iterator[str]:
    """The overview in words, a line each."""
    counts = {state: len(found.of(state)) for state in ("running", "failed", "stopped", "waiting")}
    parts = [f"{count} {state}" for state, count in counts.items() if count]
    finished = f"{len(found.of('finished'))} of {len(found.cells)} cells finished"
    yield f"study {found.study}: {', '.join([finished, *parts])}"
    yield f"run:     {found.run or 'none; the same snakemake command continues'}"
    yield f"stores:  {found.stores} of {found.stores_needed}"
    if found.rate is not None and found.seconds_left is not None:
        yield f"rate:    {found.rate:.1f} cells an hour, about {duration(found.seconds_left)} left"
    elif found.run:
        yield "rate:    not known yet: no cell has finished in this run"
    sizes = [gigabytes(size) for size in (found.disk, found.cache, found.free)]
    yield f"disk:    {sizes[0]} of this study, {sizes[1]} in the cache, {sizes[2]} free"
    running = [*found.of("running"), *(job for job in found.others if job.state == "running")]
    failed = [*found.of("failed"), *(job for job in found.others if job.state == "failed")]
    yield from _listed("running", running, now)
    yield from _listed("failed", failed, now)
    yield from _listed("stopped before the end", found.of("stopped"), now)


def _listed(title: str, jobs: Sequence[Job], now: float) -> Iterator[str]:
    if jobs:
        yield f"\n{title}:"
    for job in jobs[:LISTED]:
        yield f"  {job.name}"
        if job.reason:
            yield f"    {job.reason}"
        elif job.progress is not None:
            yield f"    {where(job)}"
        ago = f"written {duration(max(now - job.at, 0))} ago"
        if job.state != "running" or now - job.at > 60:
            yield f"    {job.log} ({ago})"
    if len(jobs) > LISTED:
        yield f"  and {len(jobs) - LISTED} more"


def where(job: Job) -> str:
    """Where a job is, such as "train 45 %, 921,600 of 2,048,000 tokens, 8,181/s, 2 min left"."""
    at = job.progress
    assert at is not None
    share = trained(job) if at.what == "train" else at.done / at.total
    text = f"{at.what} {share:.0%}, {at.done:,} of {at.total:,} {at.unit}"
    rate = f"{at.rate:,}/s" if at.rate else ""
    return ", ".join(filter(None, [text, rate, at.left and f"{at.left} left", at.more]))


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
    while True:
        now = time.time()
        found = overview(study, now)
        text = "\n".join(lines(found, now))
        print(CLEAR + text if watch and sys.stdout.isatty() else text, flush=True)
        if not watch or len(found.of("finished")) == len(found.cells):
            return
        try:
            time.sleep(EVERY)
        except KeyboardInterrupt:
            return
