"""From a training to its trackers: a thread sends the rows, and the training never waits for it.

    python -m pipeline track --configfile FILE.yaml

sends the curves of finished cells to the trackers of a study, as far as they lack them: for a
tracker that was asked for later, or that could not be reached while cells trained.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from pipeline.cells.tracking.trackers import Asked, Row, Tracked, Tracker, passed_on
from pipeline.jobs.json_files import read_json
from pipeline.jobs.progress import Progress, say
from pipeline.study.cell import Cell
from pipeline.study.curves import read_curve
from pipeline.study.made_for import is_made_for
from pipeline.study.outputs import CURVE
from pipeline.study.specs import TrainSpec
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG

# Seconds that trackers have once a job is done, and where it was stopped or failed.
PATIENCE, STOPPED = 60.0, 5.0
# What trackers are told of metrics.json.
MEASURED = ("r2", "l0", "dead_fraction", "loss_recovered", "bipolar_fraction")


class Runs:
    """The runs of one cell, one by tracker. A tracker that fails is dropped, with one warning.

    Attributes:
        failed: Trackers that were dropped.
    """

    def __init__(self, asked: Asked, cell: Tracked):
        self._cell, self._open = cell.name, dict[str, Tracker]()
        self.failed: set[str] = set()

        def start(name: str) -> None:
            self._open[name] = import_module(f"{__package__}.{name}_run").start(asked, cell)

        self._each(asked.trackers, start)

    def log(self, rows: Sequence[Row]) -> None:
        """Send the rows of the curve that the runs lack."""
        self._each(list(self._open), lambda name: self._open[name].log(rows))

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Send what was measured at the end, if anything was; after this nothing comes."""
        found = {name: metrics[name] for name in MEASURED if metrics.get(name) is not None}
        self._each(list(self._open), lambda name: self._open.pop(name).finish(found))

    def _each(self, names: Sequence[str], work: Callable[[str], None]) -> None:
        for name in names:
            try:
                work(name)
            except (Exception, SystemExit) as error:
                self.failed.add(name)
                self._open.pop(name, None)
                why = f"{type(error).__name__}: {' '.join(str(error).split())}"
                say(
                    f"warning: TRACKING BY {name.upper()} STOPPED at {self._cell} ({why}). "
                    "Training goes on, and the curve is kept: `python -m pipeline track` sends it "
                    "later."
                )


class Live:
    """Tells the trackers of a cell; nothing where no tracker is asked for."""

    def __init__(self, asked: Asked | None, cell: Tracked):
        self._asked, self._cell = asked, cell
        self._calls = SimpleQueue[Callable[[Runs], None] | None]()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def rows(self, rows: Sequence[Row]) -> None:
        """Tell rows of the curve, in order. Those that were told before may come again."""
        self._tell(lambda runs: runs.log(rows))

    def measured(self, metrics: Mapping[str, Any]) -> None:
        """Tell what metrics.json says; after this nothing comes."""
        self._tell(lambda runs: runs.finish(metrics))

    def _tell(self, call: Callable[[Runs], None]) -> None:
        if self._asked is not None:
            if self._thread.ident is None:
                self._thread.start()
            self._calls.put(call)

    def _send(self) -> None:
        assert self._asked is not None
        runs = Runs(self._asked, self._cell)
        while (call := self._calls.get()) is not None:
            call(runs)
        runs.finish({})

    def close(self, patience: float = PATIENCE) -> None:
        """Wait until all is sent, but not for long."""
        if self._thread.ident is None:
            return
        self._calls.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            say("warning: TRACKING IS NOT COMPLETE. `python -m pipeline track` sends curves later.")


@contextmanager
def tracked(spec: TrainSpec) -> Iterator[Live]:
    """What tells the trackers of a job's cell; none is told of a cell that is never trained."""
    asked = passed_on() if spec.source is None else None
    live, patience = Live(asked, Tracked.of(spec, asked.study if asked else "")), STOPPED
    try:
        yield live
        patience = PATIENCE
    finally:
        live.close(patience)


def send(study: Study, asked: Asked) -> int:
    """Send every finished cell that has a curve; how many there are.

    Raises:
        RuntimeError: a tracker failed; what was said before says why.
    """
    cells = [cell for cell in study.cells if _is_there(study, cell)]
    progress = Progress("track", len(cells), "cells")
    for done, cell in enumerate(cells, start=1):
        runs = Runs(asked, Tracked.of(study.train_spec(cell), asked.study))
        rows: list[Any] = read_curve(Path(study.cell_file(cell, CURVE)))[0].to_dict("records")
        runs.log(rows)
        runs.finish(read_json(study.metrics(cell)))
        if runs.failed:
            raise RuntimeError(f"{', '.join(sorted(runs.failed))} failed at {cell.path}")
        progress.update(done)
    return len(cells)


def _is_there(study: Study, cell: Cell) -> bool:
    if cell in study.foreign or not Path(study.cell_file(cell, CURVE)).exists():
        return False
    return is_made_for(study.metrics(cell), study.cell_made_for(cell))


def main(configfile: Path = DEFAULT_CONFIG) -> None:
    """Run the tool.

    Args:
        configfile: configuration of the study (default: the local study)
    """
    study = Study.load(configfile)
    asked = Asked.by(study)
    if asked is None:
        sys.exit(f"error: {configfile} asks for no tracker: see section `tracking`")
    print(f"{send(study, asked)} of {len(study.cells)} cells sent to {', '.join(asked.trackers)}")
