"""Curves as event files of TensorBoard, a folder per cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from pipeline.cells.tracking.trackers import HELDOUT, Asked, Row, Tracked
from sagsae.files import write_atomic

KEY = ".training"
"""File that says of which training a folder holds the curve."""


class TensorBoardRun:
    """See `pipeline.cells.tracking.trackers.Tracker`. What the folder has is not written again."""

    def __init__(self, folder: Path):
        before = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        points = {tag: before.Scalars(tag) for tag in before.Tags()["scalars"]}
        self.last = max((point.step for of in points.values() for point in of), default=-1)
        self._before = {tag: of[-1].value for tag, of in points.items() if tag.startswith(HELDOUT)}
        self._writer = SummaryWriter(str(folder))

    def log(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.last = int(row["step"])
            self._write({name: value for name, value in row.items() if name != "step"})
        self._writer.flush()

    def finish(self, heldout: Mapping[str, float]) -> None:
        found = {HELDOUT + name: value for name, value in heldout.items()}
        new = {tag: v for tag, v in found.items() if self._before.get(tag) != np.float32(v)}
        self._write(new)
        self._writer.close()

    def _write(self, values: Mapping[str, float]) -> None:
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, max(self.last, 0))


def start(asked: Asked, cell: Tracked) -> TensorBoardRun:
    """Open the folder of a cell. One with another training of the cell is moved beside it."""
    folder = Path(asked.folder, "tensorboard", cell.name)
    mark = folder / KEY
    if mark.exists() and (key := mark.read_text().strip()) != cell.key:
        folder.rename(folder.with_name(f"{folder.name}-{key}"))
    write_atomic(mark, f"{cell.key}\n".encode())
    return TensorBoardRun(folder)
