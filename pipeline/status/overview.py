"""A study as a whole: how much is done, how fast, how long still, and how much disk it takes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.status.jobs import Job, cell_job, other_jobs
from pipeline.study.cell import Cell
from pipeline.study.study import SPLITS, Study
from sagsae.files import FileLock

SEVERAL = 2
"""Finished cells of a run from which its pace leaves out what came before the first of them."""
FRESH = 120.0
"""Seconds without a line after which a job without a lock of its own is not taken to run."""


@dataclass(frozen=True)
class Overview:
    """What a study is doing at one moment."""

    study: str
    run: str
    """The Snakemake that runs it, such as "process 7 on node3"; empty where none does."""
    cells: Sequence[Job]
    others: Sequence[Job]
    """Jobs of other stages that run or failed."""
    stores: int
    """Activation stores that are there."""
    stores_needed: int
    rate: float | None
    """Cells an hour in this run; None where none finished in it."""
    seconds_left: float | None
    """Of this run; None where its rate is not known."""
    disk: int
    """Bytes of the study's own folder."""
    cache: int
    """Bytes of what studies share."""
    free: int
    """Bytes that are free where the study is."""

    def of(self, state: str) -> list[Job]:
        """The jobs of cells in one state."""
        return [job for job in self.cells if job.state == state]


def overview(study: Study, now: float) -> Overview:
    """Look at the files of a study.

    Args:
        study: Its configuration says which cells there are to be.
        now: Seconds since 1970.
    """
    cells = [cell_job(study, cell, now) for cell in study.cells]
    lock = Path(study.run_lock)
    run = FileLock(lock).holder() if lock.exists() else ""
    rate, left = _pace(study, cells, lock.stat().st_mtime, now) if run else (None, None)
    models = {cell.model for cell in study.cells}
    wanted = [study.manifest(model, split) for model in models for split in SPLITS]
    root = Path(study.root)
    return Overview(
        study=study.config.study,
        run=run,
        cells=cells,
        others=other_jobs(study, now - FRESH),
        stores=sum(Path(path).exists() for path in wanted),
        stores_needed=len(wanted),
        rate=rate,
        seconds_left=left,
        disk=bytes_under(root),
        cache=bytes_under(Path(study.cache)),
        free=shutil.disk_usage(next(at for at in (root, *root.parents) if at.exists())).free,
    )


def _pace(
    study: Study, jobs: Sequence[Job], start: float, now: float
) -> tuple[float | None, float | None]:
    """Cells an hour, and the seconds that the rest takes at that pace.

    The pace is that since the first cell of this run was finished, once there are several: dumps
    come before it. A cell counts by its products: the tokens that it trains on times its latents
    times d.
    """
    work = {cell.path: _work(study, cell) for cell in study.cells}
    ended = sorted(
        (job for job in jobs if job.state == "finished" and job.at >= start),
        key=lambda job: job.at,
    )
    if len(ended) > SEVERAL:
        start, ended = ended[0].at, ended[1:]
    if not ended or now <= start:
        return None, None
    rest = sum(work[job.name] * (1 - trained(job)) for job in jobs if job.state != "finished")
    done = sum(work[job.name] for job in ended)
    done += sum(work[job.name] * trained(job) for job in jobs if job.state == "running")
    return 3600 * len(ended) / (now - start), rest * (now - start) / done


def _work(study: Study, cell: Cell) -> float:
    """A cell's share of the products of a study, in any unit."""
    return study.training(cell).tokens * cell.width * study.model_named(cell.model).d_model


def trained(job: Job) -> float:
    """The share of a job's training that is behind it."""
    at = job.progress
    if at is None or job.state == "waiting":
        return 0.0
    return at.done / at.total if at.what == "train" else 1.0


def share(job: Job) -> float | None:
    """How far a job is by its last word; None where it has said nothing."""
    at = job.progress
    if at is None:
        return None
    return trained(job) if at.what == "train" else at.done / at.total


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
