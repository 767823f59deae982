"""Counts what a program asks of the file system."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Count the system calls of this thread on files: `stat`, `open`, `scandir` and so on."""
    found: Counter[str] = Counter()

    def see(frame: object, event: str, called: Any) -> None:
        if event == "c_call" and called.__module__ in ("posix", "_io"):
            found[called.__name__] += called.__module__ == "posix" or called.__name__ == "open"

    sys.setprofile(see)
    try:
        yield found
    finally:
        sys.setprofile(None)
        for name in [name for name, count in found.items() if not count]:
            del found[name]


def file_calls(work: Callable[[], object]) -> Counter[str]:
    """What `work` asks of the file system, the second time it runs."""
    work()
    with counted_calls() as found:
        work()
    return found
