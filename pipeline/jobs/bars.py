"""Progress bars on a person's terminal, several at once; where there is none, nothing is imported.

Bars stand on standard error, below whatever else is printed meanwhile.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LOCK = threading.RLock()
_display: Progress | None = None


def on_terminal() -> bool:
    """Whether standard error is a terminal that can draw."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class Bar:
    """One bar. It goes when it is full while others are not; the last one stays on the screen.

    Args:
        title: What is done.
        unit: What is counted.
    """

    def __init__(self, title: str, unit: str):
        self._title, self._unit = title, unit
        self._task: TaskID | None = None

    def update(self, done: float, total: float, extra: str = "") -> None:
        """Show how much is done of how much, and a few words beside it."""
        with _LOCK:
            display = _shown()
            if self._task is None:
                self._task = display.add_task(self._title, count="", extra="")
            count = f"{done:,.0f}/{total:,.0f} {self._unit}"
            display.update(self._task, completed=done, total=total, count=count, extra=extra)
            if done >= total:
                self._end(display)

    def _end(self, display: Progress) -> None:
        assert self._task is not None
        if all(task.finished for task in display.tasks):
            stop()
        else:
            display.remove_task(self._task)
        self._task = None


def _shown() -> Progress:
    """The bars of this process, which are being drawn."""
    global _display
    if _display is None:
        from rich import progress as rich
        from rich.console import Console

        _display = rich.Progress(
            rich.TextColumn("{task.description}", markup=False),
            rich.BarColumn(bar_width=24),
            rich.TextColumn("{task.fields[count]}", markup=False),
            rich.TimeRemainingColumn(elapsed_when_finished=True),
            rich.TextColumn("{task.fields[extra]}", markup=False),
            console=Console(stderr=True),
        )
        _display.start()
        atexit.register(stop)
    return _display


def stop() -> None:
    """Give the terminal back; what is drawn stays. The next bar starts below."""
    global _display
    with _LOCK:
        if _display is not None:
            _display.stop()
            _display = None
            atexit.unregister(stop)
