"""What jobs have in common that look into trained cells: steering, probes, signs, the browser."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, NamedTuple, Self

from pipeline.jobs.json_files import digest
from pipeline.study.cell import Cell
from pipeline.study.metrics import CellMetrics, NonNegative, read_measure
from pipeline.study.outputs import LOOK
from pipeline.study.places import Place
from pipeline.study.scope import Scope
from pipeline.study.sections import Names, Section, Spec
from pipeline.study.training import DEFAULT_RECIPE


class Site(NamedTuple):
    """Where some cells are: the default recipe is the empty text, the hookpoint a place's name."""

    recipe: str
    model: str
    hookpoint: str


class LookSpec(Spec):
    """What a job depends on that looks into trained cells."""

    model: str
    reads: ClassVar[tuple[str, ...]]
    """What the job reads of the model, besides its cells: names of ``pipeline.study.inputs``."""
    cells_made_for: str = ""
    """Digest of what the cells have been trained and measured by."""

    @property
    @abstractmethod
    def sides(self) -> Sequence[list[Cell]]:
        """The cells that are looked into, in one list or in two that are compared."""

    @property
    def metrics_of(self) -> list[Cell]:
        """The cells whose metrics are read."""
        return list(dict.fromkeys(cell for side in self.sides for cell in side))

    @property
    def weights_of(self) -> list[Cell]:
        """The cells whose weights may be wanted."""
        return self.metrics_of


class PlaceSpec(LookSpec):
    """What a job depends on of which there is one for each recipe and place, or for each seed
    there."""

    recipe: str
    """The default one is the empty text."""
    hookpoint: str

    @property
    def place(self) -> Place:
        """What the cells read and predict."""
        return Place.named(self.hookpoint)

    @property
    def folder(self) -> str:
        """Model and hookpoint, and behind an @ the recipe if it is not the default one."""
        recipe = f"@{self.recipe}" if self.recipe else ""
        return f"{self.model}/{self.hookpoint}{recipe}"


class CellsSpec(PlaceSpec):
    """What a job depends on that looks into each of some cells with the held-out store."""

    cells: list[Cell]
    store: str
    """Digest of the held-out store's DumpSpec."""

    @property
    def sides(self) -> list[list[Cell]]:
        return [self.cells]


class SweptSpec(LookSpec):
    """What a job depends on that looks into cells which are chosen from sweeps by their L0."""

    seed: int
    level: float
    """The L0 that decides."""

    def of_seed(self, cells: list[Cell]) -> dict[float, Cell]:
        """Lambda or k -> its cell of this seed, or of the lowest one where the sweep lacks this
        seed."""
        by_knob: dict[float, Cell] = {}
        for cell in sorted(cells, key=lambda cell: (cell.seed != self.seed, cell.seed)):
            by_knob.setdefault(cell.knob, cell)
        return by_knob

    @property
    def weights_of(self) -> list[Cell]:
        return [cell for side in self.sides for cell in self.of_seed(side).values()]


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
    """What one job measured at one place."""

    kind: ClassVar[str]
    """Name of the section that asks for it, and of its folder and its measures."""
    spec: str
    """Digest of the specification."""
    recipe: str
    model: str
    hookpoint: str

    @property
    @abstractmethod
    def used(self) -> Sequence[UsedCell]:
        """The cells that were looked into."""

    @classmethod
    def made(cls, spec: PlaceSpec, values: Mapping[str, Any]) -> Self:
        """The run of a specification, from the values of its other fields."""
        place = {"recipe", "model", "hookpoint", "seed", "comparison"}
        return cls.model_validate(
            {"spec": digest(spec), **spec.model_dump(include=place), **values}
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and validate one file; raises MetricsError as ``read_measure``."""
        return read_measure(cls, path, "run snakemake first")


def nearest_lambda(l0: Mapping[float, float], level: float) -> float | None:
    """The lambda, or k, whose L0 is nearest a level in log L0; the smaller of two equally near.

    Args:
        l0: lambda -> mean L0 of its cells. One with L0 = 0 is out of the question.
        level: the L0 that is asked for, above 0.

    Returns:
        None where no cell fires.
    """
    firing = [lam for lam, value in l0.items() if value > 0]
    return min(firing, key=lambda lam: (abs(math.log(l0[lam] / level)), lam), default=None)


def chosen_cell(spec: SweptSpec, side: list[Cell], metrics: dict[Cell, CellMetrics]) -> Cell | None:
    """The cell that is looked into; None where the grid has none here, or none fires."""
    knobs = sorted({cell.knob for cell in side})
    l0 = {knob: fmean(metrics[cell].l0 for cell in side if cell.knob == knob) for knob in knobs}
    knob = nearest_lambda(l0, spec.level)
    return None if knob is None else spec.of_seed(side)[knob]


@dataclass(frozen=True)
class Upstream:
    """What specifications carry of that which jobs read."""

    # Model -> digest of the DumpSpec of its held-out store.
    stores: Mapping[str, str]
    # Model -> digest of what its losses depend on.
    losses: Mapping[str, str]
    # Model -> arithmetic of its forward passes.
    dtypes: Mapping[str, str]


class Look(Section):
    """A section whose jobs look into trained cells, which may be restricted to some places."""

    FILE: ClassVar[str] = LOOK
    """What a job makes, below the folder of the study; ``look`` is the job's name."""
    RUN: ClassVar[type[LookRun] | None] = None
    """The type of what it makes, where that is a measure."""
    THREADS: ClassVar[int] = 1
    """The most threads that a job can use."""
    CROSSES: ClassVar[bool] = False
    """Whether its jobs look into transcoders, too."""
    models: Names = None
    """Restrict to these models; all when absent."""
    hookpoints: Names = None
    """Restrict to these hookpoints, or with names such as l5.resid to one layer; all when
    absent."""
    recipes: Names = None
    """Restrict to these recipes, of which ``default`` is section training; all when absent."""

    def places(self, scope: Scope) -> list[Site]:
        """Each place of a study that it covers, in the order of tables."""
        return [
            Site(recipe, model, hookpoint)
            for recipe, places in scope.trained.items()
            for model, hookpoint in places
            if self.recipes is None or (recipe or DEFAULT_RECIPE) in self.recipes
            if self.models is None or model in self.models
            if (where := Place.named(hookpoint)).is_among(self.hookpoints)
            if self.CROSSES or not where.target
        ]

    @abstractmethod
    def specs(self, scope: Scope, upstream: Upstream) -> Mapping[str, LookSpec]:
        """Name -> specification of each job, in the order of the tables.

        Args:
            scope: Has cells, recipes and comparisons.
            upstream: What the specifications carry.
        """
