"""How long a study takes on 1 to 64 GPUs: its jobs simulated, and what bounds it at each size.

    python -m pipeline schedule --configfile workflow/configs/paper.yaml --disk-gb-per-second 5

Jobs take what they compute at the rates of workflow/rates.yaml, which says of each whether it was
measured, and share one file system. They are submitted as a profile groups them. Downloads are not
in it, nor the queue of a cluster that others use. ``--replay FOLDER`` simulates a run that is over
with the times that its jobs took, and sets the simulated end beside the real one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from pipeline.cost.rates import RATES, Cluster, Device, Rates
from pipeline.schedule.jobs import PROFILE, Grouping, Job, JobsOf
from pipeline.schedule.records import as_jobs, makespan, of_one_run, read_records
from pipeline.schedule.simulation import DEVICES, Head, Simulation, bounds
from pipeline.study.study import Study

PAPER = RATES.parent / "configs" / "paper.yaml"
SIZES = (1, 2, 4, 8, 16, 32, 64)
CLASSES = ((0, 10), (10, 20), (20, 30), (30, 60), (60, 120), (120, 720), (720, float("inf")))
"""Minutes, of the table of estimated durations."""
NO_LIMIT = 1e18
"""Bytes a second of a disk for which nobody waits."""


def submission_table(submissions: Sequence[Job]) -> str:
    """How many jobs a scheduler gets, and how long they are."""
    remote = [job for job in submissions if not job.local]
    rows = []
    for group in dict.fromkeys(job.rule for job in remote):
        of_it = [job for job in remote if job.rule == group]
        rows.append((group, *_described(of_it)))
    rows.append(("all", *_described(remote)))
    columns = ["submitted together", "jobs", "of the plan", "minutes, least", "mean", "most"]
    counts = [
        (f"{low:g} to {high:g}" if high < float("inf") else f"over {low:g}", count)
        for low, high in CLASSES
        if (count := sum(low <= job.seconds / 60 < high for job in remote))
    ]
    return f"{_markdown(rows, columns)}\n\n{_markdown(counts, ['minutes, estimated', 'jobs'])}"


def _described(jobs: Sequence[Job]) -> tuple[str, ...]:
    lengths = [job.seconds / 60 for job in jobs]
    mean = sum(lengths) / len(lengths)
    shown = (f"{value:,.0f}" for value in (min(lengths), mean, max(lengths)))
    return (f"{len(jobs):,}", f"{sum(job.members for job in jobs):,}", *shown)


def size_table(
    jobs: Sequence[Job], sizes: Sequence[int], disk: float, head: Head, device: Device
) -> str:
    """Makespan and utilisation on each number of devices, and what bounds it."""
    word = "cores" if device.is_core else "GPUs"
    rows = []
    for size in sizes:
        found = Simulation(jobs, size, disk, head).run()
        least = bounds(jobs, size, disk, head)
        by = max(least, key=lambda name: least[name])
        rows.append(
            (
                size,
                f"{found.makespan / 3600:,.1f} h",
                f"{found.utilisation:.0%}",
                f"{max(0.0, found.waited):.0%}",
                word if by == DEVICES else by,
                f"{least[by] / 3600:,.1f} h",
            )
        )
    columns = [word, "makespan", "utilisation", "waiting for the disk", "bound by", "at least"]
    return _markdown(rows, columns)


def replay_table(folder: Path, study: Study, cores: int) -> str:
    """A run that is over: its real end beside that of the simulation with its jobs' times."""
    records = of_one_run(read_records(folder, study.root.as_posix()))
    jobs = as_jobs(records, cores)
    found = Simulation(jobs, cores, NO_LIMIT, Head()).run()
    least, real = bounds(jobs, cores, NO_LIMIT, Head()), makespan(records)
    rows = [
        ("jobs", f"{len(jobs):,}"),
        ("measured", f"{real:,.0f} s"),
        ("simulated", f"{found.makespan:,.0f} s ({found.makespan / real - 1:+.1%})"),
        ("utilisation, simulated", f"{found.utilisation:.0%}"),
        ("all cores busy to the end", f"{least[DEVICES]:,.0f} s"),
        ("longest chain", f"{least['longest chain']:,.0f} s"),
    ]
    return _markdown(rows, [f"run in {folder}, {cores} cores", ""])


def head_of(cluster: Cluster, jobs: int) -> Head:
    """The process that submits, for a plan of so many jobs."""
    return Head(
        plan=jobs * cluster.plan_seconds,
        submit=cluster.submit_seconds,
        notice=cluster.poll_seconds,
    )


def _markdown(rows: Sequence[tuple[object, ...]], columns: Sequence[str]) -> str:
    frame = pd.DataFrame(rows, columns=list(columns))
    return str(frame.to_markdown(index=False, disable_numparse=True))


def report(
    study: Study, rates: Rates, device: str, sizes: Sequence[int], disk_gb: float, profile: Path
) -> Iterator[str]:
    """The tables, a paragraph each."""
    jobs = JobsOf(study, rates, rates.device(device)).all()
    submissions = Grouping.read(profile).submissions(jobs)
    yield f"Study {study.config.study}: {len(study.cells):,} cells, {len(jobs):,} jobs, {device}"
    yield submission_table(submissions)
    head = head_of(rates.cluster, len(jobs))
    yield size_table(submissions, sizes, disk_gb * 1e9, head, rates.device(device))
    cluster = rates.cluster
    yield (
        f"Disk: {disk_gb:g} GB/s for all jobs together, {cluster.job_gb_per_second:g} for one. "
        f"Rates of the device: {rates.device(device).basis}. Of the cluster: {cluster.basis}."
    )


def main(
    configfile: Path = PAPER,
    rates: Path = RATES,
    device: str = "h100",
    devices: Sequence[int] = SIZES,
    disk_gb_per_second: float | None = None,
    profile: Path = PROFILE,
    replay: Path | None = None,
    cores: int = 2,
) -> None:
    """Print it.

    Args:
        configfile: configuration of the study (default: the paper study)
        rates: rates of devices and of the cluster, as YAML
        device: a device of the rates
        devices: how many of them (default: 1 to 64)
        disk_gb_per_second: of the file system, all jobs together (default: as in the rates)
        profile: profile.yaml that says which jobs are submitted together (default: that of SLURM)
        replay: folder in which Snakemake has run the study; simulate that run instead
        cores: cores that the run had (default: 2)
    """
    study = Study.load(configfile)
    if replay is not None:
        print(replay_table(replay, study, cores))
        return
    if min(*devices, cores, 1) < 1:
        raise ValueError("--devices and --cores: give at least 1")
    known = Rates.read(rates)
    disk = disk_gb_per_second or known.cluster.disk_gb_per_second
    print("\n\n".join(report(study, known, device, devices, disk, profile)))
