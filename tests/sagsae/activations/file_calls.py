"""Counts what a program asks of the file system."""

from __future__ import annotations

import gc
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Count the system calls of this thread on files: `stat`, `open`, `scandir` and so on.

    Garbage is not collected meanwhile: a callback of another library may open files then. That of
    `distributed`, once a worker has run in this process, reads `/proc` before and after.
    """
    found: Counter[str] = Counter()

    def see(frame: object, event: str, called: Any) -> None:
        if event == "c_call" and (called.__module__ == "posix" or called is io.open):
            found[called.__name__] += 1

    gc.disable()
    sys.setprofile(see)
    try:
        yield found
    finally:
        sys.setprofile(None)
        gc.enable()


def file_calls(work: Callable[[], object]) -> Counter[str]:
    """What `work` asks of the file system, the second time it runs."""
    work()
    with counted_calls() as found:
        work()
    return found
