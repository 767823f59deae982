"""What every tracker does with the curve of one cell, and which trackers there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.jobs.json_files import digest
from pipeline.study.specs import TrainSpec

Row = Mapping[str, float]
"""A row of a training curve, see `pipeline.study.curves`."""

MODULES = {
    "wandb": "pipeline.cells.tracking.wandb_run",
    "tensorboard": "pipeline.cells.tracking.tensorboard_run",
    "mlflow": "pipeline.cells.tracking.mlflow_run",
}
"""Name in section ``tracking`` -> the module whose ``start(asked, cell)`` opens a run."""
HELDOUT = "heldout/"
"""Before the names of what is measured on held-out tokens, once a cell is trained."""


@dataclass(frozen=True)
class Tracked:
    """One training of one cell, as trackers know it."""

    name: str
    """Path of the cell."""
    key: str
    """The same for every job that works on this training, and for no other training."""
    config: dict[str, Any] = field(default_factory=dict)
    """What it is trained by."""

    @classmethod
    def of(cls, spec: TrainSpec, study: str) -> Tracked:
        """The training of a specification in a study."""
        cell = spec.model_dump()["cell"]
        config = {"study": study, **cell, "d_model": spec.d_model, **spec.training.model_dump()}
        return cls(spec.cell.path, digest({"study": study, "train": digest(spec)}), config)


class Tracker(Protocol):
    """A run that is open.

    Attributes:
        last: Step of the last row that it has, of earlier jobs too; -1 for none.
    """

    last: int

    def log(self, rows: Sequence[Row]) -> None:
        """Take rows, each beyond ``last``, in order."""

    def finish(self, heldout: Mapping[str, float]) -> None:
        """Take what was measured at the end, if anything was, and keep all there is."""
