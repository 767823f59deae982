"""The overview of a study in words, a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.status.jobs import Job
from pipeline.status.overview import Overview, share

LISTED = 20
"""Jobs of a kind that are shown."""


def lines(found: Overview, now: float) -> Iterator[str]:
    """All of it."""
    yield from head(found)
    yield from _listed("running", running(found), now)
    yield from ended(found, now)


def head(found: Overview) -> Iterator[str]:
    """The study as a whole."""
    states = ("outdated", "running", "failed", "stopped", "waiting")
    counts = {state: len(found.of(state)) for state in states}
    parts = [f"{count} {state}" for state, count in counts.items() if count]
    finished = f"{len(found.of('finished'))} of {len(found.cells)} cells finished"
    yield f"study {found.study}: {', '.join([finished, *parts])}"
    whole = len(found.of("finished")) == len(found.cells)
    idle = "every cell is finished" if whole else "the same snakemake command continues"
    yield f"run:     {found.run or f'none; {idle}'}"
    yield f"stores:  {found.stores} of {found.stores_needed}"
    if found.rate is not None and found.seconds_left is not None:
        yield f"rate:    {found.rate:.1f} cells an hour, about {duration(found.seconds_left)} left"
    elif found.run:
        yield "rate:    not known yet: no cell has finished in this run"
    sizes = [gigabytes(size) for size in (found.disk, found.cache, found.free)]
    yield f"disk:    {sizes[0]} of this study, {sizes[1]} in the cache, {sizes[2]} free"


def running(found: Overview) -> list[Job]:
    """The jobs that somebody works on."""
    return [*found.of("running"), *(job for job in found.others if job.state == "running")]


def ended(found: Overview, now: float) -> Iterator[str]:
    """The jobs that failed, and those that nobody works on any more."""
    failed = [*found.of("failed"), *(job for job in found.others if job.state == "failed")]
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
    text = f"{at.what} {share(job):.0%}, {at.done:,} of {at.total:,} {at.unit}"
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
