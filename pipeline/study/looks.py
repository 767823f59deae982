"""What jobs have in common that look into trained cells: steering, probes, signs, the browser."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from pipeline.jobs.json_files import digest
from pipeline.study.cell import Cell
from pipeline.study.metrics import CellMetrics, NonNegative, read_measure
from pipeline.study.sections import Names, Section, Spec
from pipeline.study.training import DEFAULT_RECIPE

if TYPE_CHECKING:
    from pipeline.study.scope import Scope
    from pipeline.study.study_config import StudyConfig


class Place(NamedTuple):
    """Where some cells are: the default recipe is the empty text."""

    recipe: str
    model: str
    hookpoint: str


class Restricted(Section):
    """A section that may restrict itself to some places of a study."""

    models: Names = None
    """Restrict to these models; all when absent."""
    hookpoints: Names = None
    """Restrict to these hookpoints; all when absent."""
    recipes: Names = None
    """Restrict to these recipes, of which ``default`` is section training; all when absent."""

    def places(self, spec: Scope) -> list[Place]:
        """Each place that it covers, in the order of tables."""
        return [
            Place(recipe, model, hookpoint)
            for recipe, found in spec.trained.items()
            if (recipe or DEFAULT_RECIPE) in (self.recipes or [recipe or DEFAULT_RECIPE])
            for model, hookpoint in found
            if model in (self.models or [model]) and hookpoint in (self.hookpoints or [hookpoint])
        ]


def unknown_names(
    config: StudyConfig,
    section: Section,
    path: str,
    fields: Iterable[str] = Restricted.model_fields,
) -> list[str]:
    """Faults: names that the study does not have.

    Args:
        config: The study.
        section: Has the fields, each a list or None.
        path: Where the section stands, such as ``grid.0``.
        fields: Those that are looked at.
    """
    names = {
        "models": [model.name for model in config.models],
        "hookpoints": config.hookpoints,
        "recipes": [DEFAULT_RECIPE, *config.recipes],
    }
    return [
        f"{path}.{field}.{j}: unknown {value!r}; known are {', '.join(names[field])}"
        for field in fields
        for j, value in enumerate(getattr(section, field) or [])
        if value not in names[field]
    ]


class LookSpec(Spec):
    """Of looking into trained cells."""

    model: str
    reads: ClassVar[tuple[str, ...]]
    """What a job reads of the model, besides its cells: names of ``pipeline.study.inputs``."""

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
    """Of a job for each recipe and place, or for each seed there."""

    recipe: str
    """The default one is the empty text."""
    hookpoint: str

    @property
    def place(self) -> str:
        """Hookpoint, and behind an @ the recipe if it is not the default one."""
        return f"{self.hookpoint}@{self.recipe}" if self.recipe else self.hookpoint


class CellsSpec(PlaceSpec):
    """Of looking into each of some cells with the held-out store."""

    cells: list[Cell]
    store: str
    """Digest of the held-out store's DumpSpec."""

    @property
    def sides(self) -> list[list[Cell]]:
        return [self.cells]


class SweptSpec(LookSpec):
    """Of looking into cells that are chosen from sweeps by their L0."""

    seed: int
    level: float
    """The L0 that decides."""

    def of_seed(self, cells: list[Cell]) -> dict[float, Cell]:
        """Lambda or k -> its cell of this seed, or of the lowest one where the sweep lacks this
        seed."""
        found: dict[float, Cell] = {}
        for cell in sorted(cells, key=lambda cell: (cell.seed != self.seed, cell.seed)):
            found.setdefault(cell.knob, cell)
        return found

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
    """What one job found at one place."""

    kind: ClassVar[str]
    """The section that asks for it: name of its rule, of its folder and of its measures."""
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
    def made(cls, spec: PlaceSpec, found: Mapping[str, Any]) -> Self:
        """The run of a specification, from what was found."""
        place = {"recipe", "model", "hookpoint", "seed", "comparison"}
        return cls.model_validate({"spec": digest(spec), **spec.model_dump(include=place), **found})

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
    firing = [lam for lam, found in l0.items() if found > 0]
    return min(firing, key=lambda lam: (abs(math.log(l0[lam] / level)), lam), default=None)


def chosen_cell(spec: SweptSpec, side: list[Cell], metrics: dict[Cell, CellMetrics]) -> Cell | None:
    """The cell that is looked into; None where the grid has none here, or none fires."""
    knobs = sorted({cell.knob for cell in side})
    l0 = {knob: fmean(metrics[cell].l0 for cell in side if cell.knob == knob) for knob in knobs}
    knob = nearest_lambda(l0, spec.level)
    return None if knob is None else spec.of_seed(side)[knob]
