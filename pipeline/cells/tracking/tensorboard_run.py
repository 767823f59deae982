"""Curves as event files of TensorBoard, a folder per cell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from pipeline.cells.tracking.trackers import Asked, Tracked, Tracker
from sagsae.files import write_atomic

# File that says of which training a folder holds the curve.
KEY = ".training"


class TensorBoardRun(Tracker):
    """What the folder has is not written again."""

    def __init__(self, folder: Path):
        before = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        points = {tag: before.Scalars(tag) for tag in before.Tags()["scalars"]}
        self.last = max((point.step for of in points.values() for point in of), default=-1)
        self.before = {tag: of[-1].value for tag, of in points.items()}
        self._writer = SummaryWriter(str(folder))

    def send(self, values: Mapping[str, float]) -> None:
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, max(self.last, 0))

    def keep(self) -> None:
        self._writer.flush()

    def close(self, heldout: Mapping[str, float], done: bool) -> None:
        self.send(heldout)
        self._writer.close()


def start(asked: Asked, cell: Tracked) -> TensorBoardRun:
    """Open the folder of a cell. One with another training of the cell is moved beside it."""
    folder = Path(asked.folder, "tensorboard", cell.name)
    mark = folder / KEY
    if mark.exists() and (key := mark.read_text().strip()) != cell.key:
        folder.rename(folder.with_name(f"{folder.name}-{key}"))
    write_atomic(mark, f"{cell.key}\n".encode())
    return TensorBoardRun(folder)
