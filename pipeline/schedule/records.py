"""The jobs of a run that is over, from what Snakemake noted of each output."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.schedule.jobs import WIDE, Job, Phase

IDLE_SECONDS = 60.0
"""Without any job: another run began after that."""
METADATA = Path(".snakemake") / "metadata"


@dataclass(frozen=True)
class Record:
    """A job that ran: when, in seconds since 1970, and what it read."""

    rule: str
    start: float
    end: float
    inputs: frozenset[str]
    outputs: frozenset[str]


def read_records(folder: Path, root: str) -> list[Record]:
    """The jobs of a study that ran in a folder once, from nothing to its end.

    Args:
        folder: Where Snakemake ran.
        root: The study's folder, as the configuration names it.

    Raises:
        ValueError: Nothing of the study was noted there.
    """
    by_log: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for path in sorted((folder / METADATA).rglob("*")):
        if path.is_file():
            found = json.loads(path.read_text()) | {"output": _decoded(path, folder / METADATA)}
            if found["output"].startswith(f"{root}/"):
                by_log.setdefault((found["rule"], *found["log"]), []).append(found)
    if not by_log:
        raise ValueError(
            f"{folder / METADATA}: Snakemake noted nothing of {root} here; give the folder where "
            "it ran"
        )
    return [
        Record(
            rule,
            min(one["starttime"] for one in parts),
            max(one["endtime"] for one in parts),
            frozenset(name for one in parts for name in one["input"]),
            frozenset(one["output"] for one in parts),
        )
        for (rule, *_), parts in by_log.items()
    ]


def _decoded(path: Path, root: Path) -> str:
    """The output that a record is named after: base64, long names in several folders."""
    return urlsafe_b64decode("".join(p.lstrip("@") for p in path.relative_to(root).parts)).decode()


def of_one_run(records: list[Record]) -> list[Record]:
    """The run with the most jobs: runs are apart by some idle time.

    A job that ran again later is noted there alone, and missing here.
    """
    runs: list[list[Record]] = []
    end = float("-inf")
    for one in sorted(records, key=lambda one: one.start):
        if one.start > end + IDLE_SECONDS:
            runs.append([])
        runs[-1].append(one)
        end = max(end, one.end)
    return max(runs, key=len)


def makespan(records: list[Record]) -> float:
    """Seconds from the start of the first job to the end of the last one."""
    return max(one.end for one in records) - min(one.start for one in records)


def as_jobs(records: list[Record], cores: int) -> list[Job]:
    """The same jobs with the times that they took, in the order in which they started.

    A job needs those that made its inputs. Inputs that no job made were there before.
    """
    makers = {name: min(one.outputs) for one in records for name in one.outputs}
    return [
        Job(
            min(one.outputs),
            one.rule,
            (Phase(one.end - one.start),),
            cores if one.rule in WIDE else 1,
            frozenset(makers[name] for name in one.inputs if name in makers),
        )
        for one in sorted(records, key=lambda one: one.start)
    ]
