"""Send the training curves of finished cells to the trackers of a study, as far as they lack them.

    python -m pipeline track --configfile FILE.yaml

For a tracker that was asked for later, or that could not be reached while cells trained.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pipeline.cells.tracking.live import Runs
from pipeline.cells.tracking.trackers import Asked, Tracked
from pipeline.jobs.json_files import read_json
from pipeline.jobs.progress import Progress
from pipeline.study.cell import Cell
from pipeline.study.curves import read_curve
from pipeline.study.list_cells import is_current
from pipeline.study.outputs import CURVE
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG


def send(study: Study, asked: Asked) -> int:
    """Send every finished cell that has a curve; how many there are.

    Raises:
        RuntimeError: a tracker failed; what was said before says why.
    """
    cells = [cell for cell in study.cells if _is_there(study, cell)]
    progress = Progress("track", len(cells), "cells")
    for done, cell in enumerate(cells, start=1):
        runs = Runs(asked, Tracked.of(study.train_spec(cell), asked.study))
        rows: list[Any] = read_curve(Path(study.cell_file(cell, CURVE))).to_dict("records")
        runs.log(rows)
        runs.finish(read_json(study.metrics(cell)))
        if runs.failed:
            raise RuntimeError(f"{', '.join(sorted(runs.failed))} failed at {cell.path}")
        progress.update(done)
    return len(cells)


def _is_there(study: Study, cell: Cell) -> bool:
    curve, metrics = Path(study.cell_file(cell, CURVE)), Path(study.metrics(cell))
    return cell not in study.foreign and curve.exists() and is_current(study, cell, metrics)


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
