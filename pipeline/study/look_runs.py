"""What jobs leave that look into trained cells, as steering and probes do: what all have."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from pipeline.study.cell import Cell
from pipeline.study.config.sections import Natural, Section
from pipeline.study.metrics import CellMetrics, NonNegative
from pipeline.study.specs import DialSpec, ProbeSpec


class UsedCell(Section):
    """A cell whose weights a job has used."""

    cell: Cell
    l0: NonNegative
    """As in its metrics: over all held-out rows."""
    weights_sha256: str

    @staticmethod
    def values(metrics: CellMetrics) -> dict[str, Any]:
        """The fields, from the metrics of the cell."""
        sha256 = metrics.made_from.weights_sha256
        return {"cell": metrics.cell, "l0": metrics.l0, "weights_sha256": sha256}


class LookRun(Section):
    """What one job found at one place."""

    spec: str
    """Digest of the specification."""
    recipe: str
    model: str
    hookpoint: str
    seed: Natural

    @property
    @abstractmethod
    def used(self) -> Sequence[UsedCell]:
        """The cells that were looked into."""


def place_of(spec: DialSpec | ProbeSpec) -> dict[str, Any]:
    """The fields of a run that say where it was."""
    return {name: getattr(spec, name) for name in ("recipe", "model", "hookpoint", "seed")}
