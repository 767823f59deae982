"""What section ``tracking`` asks for, what every tracker does, and how jobs learn of it.

The section reaches jobs by an environment variable. In a command or a specification, its change
would train finished cells again.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import isclose, nan
from pathlib import Path
from typing import Any

from pipeline.jobs.json_files import canonical, digest
from pipeline.study.outputs import TRACKING
from pipeline.study.run_settings import TrackerName
from pipeline.study.sections import ConfigError, Section
from pipeline.study.specs import TrainSpec
from pipeline.study.study import Study

# A row of a training curve, see `pipeline.study.curves`.
Row = Mapping[str, float]

VARIABLE = "SAGSAE_TRACKING"
# Before the names of what is measured on held-out tokens, once a cell is trained.
HELDOUT = "heldout/"


class Asked(Section):
    """The section, and the study that has it."""

    study: str
    folder: str
    """Where trackers keep what lies on disk."""
    trackers: list[TrackerName]

    @classmethod
    def by(cls, study: Study) -> Asked | None:
        """What a study asks for; None if nothing.

        Raises:
            ConfigError: a package of a tracker is not installed. Nothing is imported.
        """
        if not study.run.tracking:
            return None
        folder = str(Path(study.path(TRACKING)).absolute())
        asked = cls(study=study.config.study, folder=folder, trackers=study.run.tracking)
        if missing := [name for name in asked.trackers if not _is_installed(name)]:
            names = ",".join(missing)
            raise ConfigError(
                f"tracking asks for {names}, which is not installed: run "
                f"`python -m pip install --editable '.[{names}]'` or take it out"
            )
        return asked

    def pass_on(self) -> None:
        """Let every job that is started from here know what is asked for."""
        os.environ[VARIABLE] = canonical(self)


def passed_on() -> Asked | None:
    """What this job was told; None for nothing."""
    text = os.environ.get(VARIABLE)
    return Asked.model_validate_json(text) if text else None


def _is_installed(package: str) -> bool:
    """A folder of that name without code, such as W&B makes one, is no package."""
    found = find_spec(package)
    return found is not None and found.origin is not None


@dataclass(frozen=True)
class Tracked:
    """One training of one cell, as trackers know it."""

    # Path of the cell.
    name: str
    # The same for every job that works on this training, and for no other training.
    key: str
    # What it is trained by.
    config: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: TrainSpec, study: str) -> Tracked:
        """The training of a specification in a study."""
        cell = spec.model_dump()["cell"]
        config = {"study": study, **cell, "d_model": spec.d_model, **spec.training.model_dump()}
        return cls(spec.cell.path, digest({"study": study, "train": digest(spec)}), config)


class Tracker(ABC):
    """A run that is open.

    Attributes:
        last: Step of the last row that it has, of earlier jobs too; -1 for none.
        before: What earlier jobs told it of held-out tokens, by name.
    """

    last = -1
    before: Mapping[str, float] = {}

    def log(self, rows: Sequence[Row]) -> None:
        """Take those of some rows, in order, that lie beyond ``last``."""
        for row in rows:
            if row["step"] > self.last:
                self.last = int(row["step"])
                self.send({name: value for name, value in row.items() if name != "step"})
        self.keep()

    def finish(self, measured: Mapping[str, float]) -> None:
        """Take what was measured at the end, if anything was, and keep all there is."""
        found = {HELDOUT + name: value for name, value in measured.items()}
        new = {
            k: v for k, v in found.items() if not isclose(self.before.get(k, nan), v, rel_tol=1e-6)
        }
        self.close(new, bool(found))

    @abstractmethod
    def send(self, values: Mapping[str, float]) -> None:
        """Send values of step ``last``."""

    @abstractmethod
    def keep(self) -> None:
        """Bring to the disk what was sent, where a process that ends at once would lose it."""

    @abstractmethod
    def close(self, heldout: Mapping[str, float], done: bool) -> None:
        """Send values that it does not have; ``done`` if nothing comes after them."""
