"""From a training to its trackers: a thread sends the rows, and the training never waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from queue import SimpleQueue
from typing import Any

from pipeline.cells.tracking.asked import Asked, passed_on
from pipeline.cells.tracking.trackers import MODULES, Row, Tracked, Tracker
from pipeline.jobs.progress import say
from pipeline.study.cell import Cell
from pipeline.study.specs import TrainSpec

PATIENCE, STOPPED = 60.0, 5.0
"""Seconds that trackers have once a job is done, and where it was stopped or failed."""
MEASURED = ("r2", "l0", "dead_fraction", "loss_recovered", "bipolar_fraction")
"""What trackers are told of metrics.json."""


class Runs:
    """Runs of some cells on every tracker. A tracker that fails is dropped, with one warning.

    Attributes:
        failed: Trackers that were dropped.
    """

    def __init__(self, asked: Asked):
        self._asked, self._open = asked, dict[tuple[str, str], Tracker]()
        self.failed: set[str] = set()

    def begin(self, cell: Tracked) -> None:
        """Open the runs of a cell, or continue them; the trackers' packages are imported here."""

        def start(name: str) -> None:
            run: Tracker = import_module(MODULES[name]).start(self._asked, cell)
            self._open[cell.name, name] = run

        self._each(cell.name, self._asked.trackers, start)

    def rows(self, cell: str, rows: Sequence[Row]) -> None:
        """Send the rows of a cell's curve that its runs lack."""

        def log(name: str) -> None:
            run = self._open[cell, name]
            if new := [row for row in rows if row["step"] > run.last]:
                run.log(new)

        self._each(cell, self._opened(cell), log)

    def finish(self, cell: str, metrics: Mapping[str, Any]) -> None:
        """Send what was measured at the end, if anything was; after this nothing comes."""
        found = {name: metrics[name] for name in MEASURED if metrics.get(name) is not None}
        self._each(
            cell, self._opened(cell), lambda name: self._open.pop((cell, name)).finish(found)
        )

    def close(self) -> None:
        """Close what is open: its cell was interrupted."""
        for cell, _ in list(self._open):
            self.finish(cell, {})

    def _opened(self, cell: str) -> list[str]:
        return [name for name in self._asked.trackers if (cell, name) in self._open]

    def _each(self, cell: str, names: Sequence[str], work: Callable[[str], None]) -> None:
        for name in names:
            if name in self.failed:
                continue
            try:
                work(name)
            except (Exception, SystemExit) as error:
                self.failed.add(name)
                why = f"{type(error).__name__}: {' '.join(str(error).split())}"
                say(
                    f"warning: TRACKING BY {name.upper()} STOPPED at {cell} ({why}). Training goes "
                    "on, and the curve is kept: `python -m pipeline track` sends it later."
                )


class Live:
    """Tells trackers of the cells of one job; nothing where no tracker is asked for."""

    def __init__(self, asked: Asked | None):
        self._study = asked.study if asked else ""
        self._runs = Runs(asked) if asked else None
        self._calls = SimpleQueue[Callable[[Runs], None] | None]()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def open(self, spec: TrainSpec) -> None:
        """Begin to tell of a cell, or go on; of one that is never trained there is nothing."""
        if spec.source is None:
            self.begin(Tracked.of(spec, self._study))

    def begin(self, cell: Tracked) -> None:
        """The same of a cell whose training is known by its name and key."""
        self._tell(lambda runs: runs.begin(cell))

    def rows(self, cell: Cell, rows: Sequence[Row]) -> None:
        """Tell rows of a curve, in order. Those that were told before may come again."""
        told = list(rows)
        self._tell(lambda runs: runs.rows(cell.path, told))

    def measured(self, cell: Cell, metrics: Mapping[str, Any]) -> None:
        """Tell what metrics.json says; after this nothing comes of the cell."""
        self._tell(lambda runs: runs.finish(cell.path, metrics))

    def _tell(self, call: Callable[[Runs], None]) -> None:
        if self._runs is not None:
            if self._thread.ident is None:
                self._thread.start()
            self._calls.put(call)

    def _send(self) -> None:
        assert self._runs is not None
        while (call := self._calls.get()) is not None:
            call(self._runs)
        self._runs.close()

    def close(self, patience: float = PATIENCE) -> None:
        """Wait until all is sent, but not for long."""
        if self._thread.ident is None:
            return
        self._calls.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
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
