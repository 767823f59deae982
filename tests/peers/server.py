"""Runs scripts of this folder, each in a child forked from one process that has imported the peers.

    python -m tests.peers.server

Reads a JSON list a line: the name of a script and its arguments. Answers with a line: exit status,
output and errors. Importing SAELens takes a process eight seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import tempfile
from pathlib import Path

from tests.helpers.warm import end_as_process

HERE = Path(__file__).parent
IMPORTED = ("dictionary_learning", "sae_lens")


def run(script: str, *arguments: str) -> dict[str, int | str]:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if not child:
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            sys.argv = [script, *arguments]
            end_as_process(lambda: runpy.run_path(str(HERE / script), run_name="__main__"))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        errors.seek(0)
        said, wrong = (file.read().decode(errors="replace") for file in (output, errors))
    return {"status": status, "output": said, "errors": wrong}


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(run(*json.loads(line))), flush=True)
    os._exit(0)  # nothing is to be tidied up, and that would take seconds
