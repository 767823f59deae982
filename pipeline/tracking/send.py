"""Give trackers what a job says on standard input, a JSON object a line: see `Sender.take`.

A process of its own: whatever a tracker does, waits for or breaks, the training goes on.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from typing import Annotated, Any, TextIO

from pipeline.jobs.progress import say
from pipeline.tracking.asked import Asked, advice
from pipeline.tracking.trackers import Row, Tracked, Tracker, start

PATIENCE = 60.0
"""Seconds that trackers have once a job is done; a network that is down takes longer."""


class Sender:
    """Runs of some cells on every tracker. A tracker that fails is dropped, with one warning.

    Attributes:
        failed: Trackers that were dropped.
    """

    def __init__(self, asked: Asked):
        self._asked, self._runs = asked, dict[str, dict[str, Tracker]]()
        self.failed: set[str] = set(asked.missing())
        if self.failed:
            say(f"warning: {advice(sorted(self.failed))}")

    def take(self, message: Mapping[str, Any]) -> None:
        """Take one message. Each has ``cell``, the path of a cell.

        ``open`` has the fields of `Tracked` and comes first. ``rows`` are rows of its curve, from
        the start or from where the last ones ended. ``heldout`` holds what was measured at the end;
        after it, or after ``close``, nothing comes.
        """
        cell = str(message["cell"])
        if "open" in message:
            self._runs[cell] = {}
            self._each(cell, self._asked.trackers, self._open, Tracked(**message["open"]))
        if cell not in self._runs:
            return
        if rows := message.get("rows"):
            self._each(cell, list(self._runs[cell]), self._log, cell, rows)
        if "heldout" in message or "close" in message:
            heldout = message.get("heldout", {})
            self._each(cell, list(self._runs[cell]), self._finish, cell, heldout)
            self._runs.pop(cell)

    def close(self) -> None:
        """Close what is open: its cell was interrupted."""
        for cell in list(self._runs):
            self.take({"cell": cell, "close": True})

    def _each(self, cell: str, names: Sequence[str], work: Any, *args: Any) -> None:
        for name in names:
            if name in self.failed:
                continue
            try:
                work(name, *args)
            except (Exception, SystemExit) as error:
                self.failed.add(name)
                why = f"{type(error).__name__}: {' '.join(str(error).split())}"
                say(
                    f"warning: TRACKING BY {name.upper()} STOPPED at {cell} ({why}). Training goes "
                    "on, and the curve is kept: `python -m pipeline track` sends it later."
                )

    def _open(self, name: str, cell: Tracked) -> None:
        self._runs[cell.name][name] = start(name, self._asked, cell)

    def _log(self, name: str, cell: str, rows: Sequence[Row]) -> None:
        run = self._runs[cell][name]
        if new := [row for row in rows if row["step"] > run.last]:
            run.log(new)

    def _finish(self, name: str, cell: str, heldout: Mapping[str, float]) -> None:
        self._runs[cell][name].finish(heldout)


def main(asked: Annotated[Asked, Asked.model_validate_json], patience: float = PATIENCE) -> None:
    """Read until the input ends, then close all runs.

    Args:
        asked: what section tracking asks for, as JSON
        patience: seconds after the end of the input in which this must be done (default: 60)
    """
    messages: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin, messages, patience), daemon=True).start()
    sender = Sender(asked)
    while (line := messages.get()) is not None:
        sender.take(json.loads(line))
    sender.close()
    sys.stderr.flush()
    os._exit(0)  # what trackers do when Python ends may take for ever


def _read(source: TextIO, messages: SimpleQueue[str | None], patience: float) -> None:
    """Take what comes at once, so that the job never waits; at its end, see that this ends too."""
    for line in source:
        messages.put(line)
    messages.put(None)
    timer = threading.Timer(patience, _give_up, [patience])
    timer.daemon = True
    timer.start()


def _give_up(patience: float) -> None:
    say(
        f"warning: TRACKING STOPPED: a tracker did not end within {patience:.0f} s. The curve is "
        "kept: `python -m pipeline track` sends it later."
    )
    os._exit(1)
