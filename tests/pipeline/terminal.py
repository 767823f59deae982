"""A program on a terminal, as a person has one."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(
    *arguments: str,
    told: Callable[[subprocess.Popen[bytes], str], None] | None = None,
    **names: str,
) -> tuple[int, str]:
    """Run Python with its output and its errors on a terminal of 120 columns.

    Args:
        arguments: Of Python.
        told: Called with the process and all that was printed so far, whenever there is more.
        names: Of the environment.

    Returns:
        The exit status, and all that the terminal was sent.
    """
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"} | names
    running = subprocess.Popen(
        [sys.executable, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    printed = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:  # Linux says so at the end
            more = b""
        if not more:
            break
        printed += more
        if told is not None:
            told(running, printed.decode(errors="replace"))
    os.close(ours)
    return running.wait(), printed.decode(errors="replace")


def plain(printed: str) -> str:
    """What was printed, without colours and movements of the cursor."""
    return ESCAPE.sub("", printed).replace("\r", "\n")
