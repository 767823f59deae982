"""Runs one stage in children that are killed at random instants, until enough were.

    python -m tests.faults.killer PLAN.json

The plan: ``module`` and ``arguments`` of the stage; ``watch``, a glob of files that later runs must
leave alone; ``checkpoints``, a glob of a cell's; ``result``, files or folders to digest at a run's
end, and ``made``, what to delete then; ``kills``; ``seed``. Children are forked before this process
has computed anything, so that each begins with clean threads and without the seconds that imports
take. Prints JSON: kills, kills that left something to continue from, how often work was lost, the
digest of the undisturbed run and of each run that came to its end.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

import pipeline.baselines
import pipeline.dump
import pipeline.run_cell
import pipeline.tokenise  # noqa: F401
from pipeline.files import read_json
from sagsae.training.checkpoint import newest_checkpoint
from tests.faults.campaign import folder_digest

COSTS = ("seconds", "tokens_per_second", "data_wait_seconds", "peak_memory_mb")
"""Fields of a cell's training section that no two runs share."""


def start(plan: dict[str, Any]) -> int:
    """A child that is the stage."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            torch.set_num_threads(1)
            log = os.open(plan["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.argv = [plan["module"], *plan["arguments"]]
            importlib.import_module(plan["module"]).main()
            status = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        os._exit(status)
    return child


def finished_work(plan: dict[str, Any]) -> dict[str, int]:
    """What a later run must keep: times of files, steps of checkpoints."""
    root = Path(plan["root"])
    work = {str(path): path.stat().st_mtime_ns for path in root.glob(plan["watch"])}
    for path in root.glob(plan["checkpoints"]):
        if found := newest_checkpoint(path):
            work[str(path)] = found[1]["step"]
    return work


def undone(before: dict[str, int], after: dict[str, int]) -> int:
    """How many of the files went back; a checkpoint that is gone was used up."""
    changed = [
        path for path in before if path.endswith(".json") and after.get(path) != before[path]
    ]
    steps = [path for path in before if path in after and after[path] < before[path]]
    return len({*changed, *steps})


def result_digest(paths: list[Path]) -> str:
    """Digest of a finished run; costs of training are left out."""
    parts = []
    for path in paths:
        if path.is_dir():
            parts.append(folder_digest(path))
        elif path.suffix == ".json":
            value = read_json(path)
            for section in (value, value.get("training", {})):
                for field in COSTS:
                    section.pop(field, None)
            parts.append(json.dumps(value, sort_keys=True))
        else:
            parts.append(str(path.read_bytes()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def campaign(plan: dict[str, Any]) -> dict[str, Any]:
    """Kill, start again, kill; compare whenever a run comes to its end."""
    chance = random.Random(plan["seed"])
    kills, resumable, lost, digests = 0, 0, 0, []
    while kills < plan["kills"] or not digests:
        before, child = finished_work(plan), start(plan)
        if kills < plan["kills"]:
            time.sleep(chance.uniform(0, plan["seconds"]))
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        after = finished_work(plan)
        lost += undone(before, after)
        if status == -signal.SIGKILL:
            kills, resumable = kills + 1, resumable + bool(after)
        elif status:
            raise RuntimeError(f"{plan['module']} ended with {status}; see {plan['log']}")
        else:
            digests.append(end_of_run(plan))
    return {"kills": kills, "resumable": resumable, "lost": lost, "digests": digests}


def end_of_run(plan: dict[str, Any]) -> str:
    """The digest of what was made, which is then deleted."""
    found = result_digest([Path(path) for path in plan["result"]])
    for path in map(Path, plan["made"]):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return found


def undisturbed(plan: dict[str, Any]) -> dict[str, Any]:
    """One run without a kill: its digest and its duration."""
    began = time.monotonic()
    status = os.waitstatus_to_exitcode(os.waitpid(start(plan), 0)[1])
    if status != 0:
        raise RuntimeError(f"{plan['module']} ended with {status}; see {plan['log']}")
    seconds = time.monotonic() - began
    return {"digest": end_of_run(plan), "seconds": seconds}


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    whole = undisturbed(plan)
    print(json.dumps(whole | campaign(plan | {"seconds": 1.2 * whole["seconds"]})))


if __name__ == "__main__":
    main()
