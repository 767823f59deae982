"""Several Snakemake runs on the results of one study at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.conftest import Workflow
from tests.faults import one_cell
from tests.faults.one_cell import STUDY, TARGET, running, states, wait_for
from tests.faults.workflow_results import results_digest


@dataclass
class Rivalry:
    """What came of several runs on one study.

    Attributes:
        here, elsewhere: Refused by name, from the same and from another working directory.
        planned: A dry run went well meanwhile.
        changed: Files that those which were refused made, changed or removed.
        end: Exit status of the first run, and the digest of its cell.
    """

    here: int
    elsewhere: int
    planned: bool
    changed: list[tuple[str, int, int]]
    end: tuple[int, str]


def rivalry(base: Path, other: Path, moment: float) -> Rivalry:
    """Two runs start at once; others come while the first is held up in its training."""
    config = one_cell.configure(base, results=str(base / "results"))
    near, far, target = Workflow(base, config), Workflow(other, config), str(base / TARGET)
    logs = [base / f"log{i}" for i in range(5)]
    with ExitStack() as stack:

        def run(number: int, workflow: Workflow, *more: str) -> subprocess.Popen[str]:
            return stack.enter_context(running(workflow, target, *more, log=logs[number]))

        pair = [run(0, near), run(1, near)]
        wait_for("a refusal", lambda: any(one.poll() is not None for one in pair))
        loser = int(pair[0].poll() is None)
        first = pair[1 - loser]
        here = refused(pair[loser], logs[loser], first.pid)
        wait_for("training", lambda: one_cell.progress(base) >= moment or first.poll() is not None)
        os.killpg(first.pid, signal.SIGSTOP)
        for process in (first.pid, one_cell.trainer(base)):
            wait_for("standstill", lambda p=process: states(p) == {"T"})
        before = snapshot(base)
        more = [run(2, near), run(3, far), run(4, near, "--dry-run")]
        result = Rivalry(
            here=here + refused(more[0], logs[2], first.pid),
            elsewhere=int(refused(more[1], logs[3], first.pid)),
            planned=more[2].wait(60) == 0 and "This was a dry-run" in logs[4].read_text(),
            changed=sorted(snapshot(base) ^ before | snapshot(other)),
            end=(-1, ""),
        )
        os.killpg(first.pid, signal.SIGCONT)
        status = first.wait(one_cell.PATIENCE)
    result.end = (status, results_digest(base / STUDY, ("cells",)))
    return result


def snapshot(folder: Path) -> set[tuple[str, int, int]]:
    """Name, time and size of every file of a study and of Snakemake's notes that others read."""
    files = [path for part in ("results", ".snakemake") for path in (folder / part).rglob("*")]
    own = {folder / ".snakemake" / name for name in ("log", "iocache")}
    return {
        (str(path), path.stat().st_mtime_ns, path.stat().st_size)
        for path in files
        if path.is_file() and own.isdisjoint(path.parents)
    }


def refused(run: subprocess.Popen[str], log: Path, process: int) -> bool:
    """Whether a run ended with an error that names the process which holds the study."""
    status, text = run.wait(60), log.read_text()
    return status != 0 and f"in use by process {process} on" in text and ".run.lock" in text
