"""Runs stages, each in a child forked from one process that has imported them all.

    python -m tests.helpers.stage_server

Reads a JSON request a line: ``arguments`` (name and options of a stage, or any command),
``forked`` (a stage, or a process of its own), ``folder`` to run in, ``kill_after`` (seconds until
SIGKILL, or null). Answers each with a line: exit status and output.
Stages see the file systems of this process; those mounted in its namespace vanish with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import torch

from pipeline.__main__ import main as stage
from pipeline.jobs.stage import run_stage
from tests.helpers.warm import end_as_process, import_stages

PATIENCE = 120
"""Seconds after which a stage counts as hanging, and is killed."""
import_stages()


def forked(request: dict[str, Any], log: int) -> int:
    """Exit status of a child that is the stage."""
    child = os.fork()
    if child:
        if request["kill_after"] is not None:
            time.sleep(request["kill_after"])
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.dup2(log, 1)
    os.dup2(log, 2)
    end_as_process(lambda: run_forked(request))
    raise AssertionError


def run_forked(request: dict[str, Any]) -> None:
    signal.alarm(PATIENCE)
    torch.set_num_threads(1)
    os.chdir(request["folder"])
    sys.argv = ["pipeline", *request["arguments"]]
    run_stage(lambda: stage(sys.argv[1:]))


def started(request: dict[str, Any], log: int) -> int:
    """Exit status of a command in a process of its own."""
    done = subprocess.run(
        request["arguments"],
        cwd=request["folder"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    return done.returncode


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile() as log:
            run = forked if request["forked"] else started
            status = run(request, log.fileno())
            log.seek(0)
            output = log.read().decode(errors="replace")
        print(json.dumps({"status": status, "output": output}), flush=True)
    os._exit(0)  # nothing is to be tidied up, and that would take seconds


if __name__ == "__main__":
    main()
