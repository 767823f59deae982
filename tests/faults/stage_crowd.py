"""Runs several stages at once, each in a child forked from one process that has imported them all.

    python -m tests.faults.stage_crowd

Reads a JSON request a line: ``folder`` to run in and ``stages``, each with ``arguments`` (its name
and options) and ``delay`` (seconds to wait before). Answers with a line: a list of exit status
and output of each. What is forked begins at the same instant, where processes that still have to
import everything drift apart by more than a small stage takes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from pipeline.jobs.stage import run_stage
from tests.faults.stage_server import stage as run


def start(folder: str, stage: dict[str, Any], log: Path) -> int:
    """A child that is the stage; its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        torch.set_num_threads(1)
        os.chdir(folder)
        sys.argv = ["pipeline", *stage["arguments"]]
        time.sleep(stage["delay"])
        run_stage(lambda: run(sys.argv[1:]))
        status = 0
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
    os._exit(status)


def crowd(folder: str, stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Start every stage, wait for all."""
    with tempfile.TemporaryDirectory() as logs:
        paths = [Path(logs, str(number)) for number in range(len(stages))]
        children = [start(folder, *pair) for pair in zip(stages, paths, strict=True)]
        statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        outputs = [path.read_text(errors="replace") for path in paths]
    pairs = zip(statuses, outputs, strict=True)
    return [{"status": status, "output": output} for status, output in pairs]


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(crowd(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
