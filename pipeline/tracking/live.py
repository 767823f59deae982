"""From a job to its trackers: a process that sends, and a thread that tells it.

The training step puts rows into a queue and never waits.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

from pipeline.jobs.json_files import canonical
from pipeline.jobs.progress import say
from pipeline.study.cell import Cell
from pipeline.study.specs import TrainSpec
from pipeline.tracking.asked import Asked, passed_on
from pipeline.tracking.send import PATIENCE
from pipeline.tracking.trackers import Row, Tracked

STOPPED = 5.0
"""Seconds that trackers have where the job was stopped or failed."""
LATER = 5.0
"""Seconds after which the process that sends is ended, if it did not end by itself."""
HELDOUT = ("r2", "l0", "dead_fraction", "loss_recovered", "bipolar_fraction")
"""What trackers are told of metrics.json."""


def heldout(metrics: Mapping[str, Any]) -> dict[str, float]:
    """What trackers are told of the content of metrics.json."""
    return {name: metrics[name] for name in HELDOUT if metrics.get(name) is not None}


class Live:
    """Tells trackers of the cells of one job; nothing where no tracker is asked for."""

    def __init__(self, asked: Asked | None):
        self._asked, self._messages = asked, SimpleQueue[dict[str, Any] | None]()
        self._process: subprocess.Popen[bytes] | None = None

    def open(self, spec: TrainSpec) -> None:
        """Begin to tell of a cell, or go on; of one that is never trained there is nothing."""
        if self._asked is None or spec.source is not None:
            return
        self.begin(Tracked.of(spec, self._asked.study))

    def begin(self, cell: Tracked) -> None:
        """The same of a cell whose training is known by its name and key."""
        self._tell({"cell": cell.name, "open": vars(cell)})

    def rows(self, cell: Cell, rows: Sequence[Row]) -> None:
        """Tell rows of a curve, in order. Those that were told before may come again."""
        self._tell({"cell": cell.path, "rows": list(rows)})

    def measured(self, cell: Cell, metrics: Mapping[str, Any]) -> None:
        """Tell what metrics.json says; after this nothing comes of the cell."""
        self._tell({"cell": cell.path, "heldout": heldout(metrics)})

    def _tell(self, message: dict[str, Any]) -> None:
        if self._process is None and "open" in message:
            self._start()
        if self._process is not None:
            self._messages.put(message)

    def _start(self) -> None:
        assert self._asked is not None
        command = [sys.executable, "-m", "pipeline", "track-rows", "--asked"]
        try:
            self._process = subprocess.Popen(
                [*command, canonical(self._asked)], stdin=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            say(f"warning: TRACKING DID NOT START ({error}). Training goes on.")
            return
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as pipe:
            while (message := self._messages.get()) is not None:
                pipe.write(json.dumps(message).encode() + b"\n")
                pipe.flush()

    def close(self, patience: float = PATIENCE) -> None:
        """Wait until all is sent, but not for long."""
        if self._process is None:
            return
        self._messages.put(None)
        try:
            self._process.wait(patience + LATER)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.returncode:
            say("warning: TRACKING IS NOT COMPLETE. `python -m pipeline track` sends curves later.")


@contextmanager
def tracked() -> Iterator[Live]:
    """What tells the trackers that the study asks for of the cells of this job."""
    live, patience = Live(passed_on()), STOPPED
    try:
        yield live
        patience = PATIENCE
    finally:
        live.close(patience)
