"""Specifications of cells, of what looks into them and of synthetic runs.

Those of models, text and stores are in ``pipeline.study.config.specs``.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_serializer

from pipeline.study.cell import Cell
from pipeline.study.config.browser import Shown
from pipeline.study.config.dial import Steering
from pipeline.study.config.foreign import ForeignSource
from pipeline.study.config.probe import Probing
from pipeline.study.config.recipes import Training
from pipeline.study.config.sources import AnyText, ModelSource
from pipeline.study.config.specs import Spec
from pipeline.study.config.study_config import Evaluation, TappedModel
from pipeline.study.config.synthetic import Synthetic
from sagsae.schedules import SETTINGS, Recipe, uses


class TrainSpec(Spec):
    """Of one cell's training."""

    revision: int = 3
    cell: Cell
    d_model: int
    store: str
    """Digest of the training store's DumpSpec."""
    training: Training
    source: ForeignSource | None = Field(default=None, exclude_if=lambda source: source is None)
    """Where the weights come from, if they were trained elsewhere."""

    @property
    def recipe(self) -> Recipe:
        """The library's recipe."""
        own: dict[str, Any] = {
            "steps": self.training.steps,
            "lam": self.cell.lam or 0.0,
            "k": self.cell.k or 0,
            "learning_rate": self.training.learning_rate_at(self.cell.width),
        }
        given: dict[str, Any] = dict(self.training)
        known = {
            name: given[name] for name in SETTINGS.keys() & given if uses(self.cell.variant, name)
        }
        return Recipe(**known | own)


class EvaluateSpec(Spec):
    """Of the evaluation of one model's cells."""

    revision: int = 3
    baselines: str
    """Digest of the BaselineSpec."""
    evaluation: Evaluation


class LookSpec(Spec):
    """Of looking into trained cells."""

    model: str
    seed: int
    reads: ClassVar[tuple[str, ...]]
    """What a job reads of the model, besides its cells: names of ``pipeline.study.inputs``."""

    @property
    @abstractmethod
    def metrics_of(self) -> list[Cell]:
        """The cells whose metrics are read."""

    @property
    @abstractmethod
    def weights_of(self) -> list[Cell]:
        """The cells whose weights may be wanted."""


class SweptSpec(LookSpec):
    """Of looking into cells that are chosen from sweeps by their L0."""

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
    @abstractmethod
    def sides(self) -> tuple[list[Cell], list[Cell]]:
        """The cells of both sweeps, from each of which one is chosen."""

    @property
    def metrics_of(self) -> list[Cell]:
        return list(dict.fromkeys(cell for side in self.sides for cell in side))

    @property
    def weights_of(self) -> list[Cell]:
        return [cell for side in self.sides for cell in self.of_seed(side).values()]


class DialSpec(SweptSpec):
    """Of steering with the latents of one candidate and its baseline, at one place."""

    reads = ("heldout", "baselines", "asset")
    revision: int = 1
    recipe: str
    """Under which both sides stand; the default one is the empty text."""
    hookpoint: str
    comparison: Annotated[int, Field(exclude_if=lambda number: number == 1)] = 1
    """Its number in the configuration, from 1."""
    candidate: list[Cell]
    """Cells of a sweep, all seeds of each lambda, from which one is taken by its L0."""
    baseline: list[Cell]
    """The same of the baseline; empty where the grid has none here."""
    losses: str
    """Digest of the BaselineSpec, whose contexts are used."""
    dial: Steering

    @property
    def sides(self) -> tuple[list[Cell], list[Cell]]:
        return self.candidate, self.baseline


class ProbeSpec(LookSpec):
    """Of probing the cells of one seed that were trained under one recipe at one place."""

    reads = ("heldout", "tokens", "asset")
    revision: int = 1
    recipe: str
    """The default one is the empty text."""
    hookpoint: str
    cells: list[Cell]
    store: str
    """Digest of the held-out store's DumpSpec."""
    probe: Probing

    @property
    def metrics_of(self) -> list[Cell]:
        return self.cells

    @property
    def weights_of(self) -> list[Cell]:
        return self.cells


class BrowserSpec(SweptSpec):
    """Of what is shown of one cell's latents."""

    reads = ("heldout", "tokens", "asset")
    revision: int = 1
    shown: list[Cell]
    """Cells of a sweep, all seeds of each lambda, from which one is taken by its L0; or one."""
    rival: list[Cell]
    """Cells of the sweep that it is compared with, from which one is taken in the same way; empty
    where there is none."""
    by_level: bool
    """Whether the level decides; else the one cell is shown, and its L0 decides on the rival."""
    store: str
    """Digest of the held-out store's DumpSpec."""
    dtype: str
    """Arithmetic of the language model."""
    browser: Shown

    @property
    def sides(self) -> tuple[list[Cell], list[Cell]]:
        return self.shown, self.rival


class ExportSpec(Spec):
    """Of one cell for SAELens: what its configuration says of language model and text."""

    revision: int = 1
    cell: Cell
    model: TappedModel
    source: ModelSource
    start_token: Literal["bos", "eos", "none"]
    context_length: int
    max_norm_ratio: float
    text: AnyText


class SyntheticSpec(Spec):
    """Of one seed of one synthetic protocol."""

    revision: int = 1
    protocol: str
    seed: int
    synthetic: Synthetic
    """Settings of this protocol and those that all share; the others are not set."""

    @field_serializer("synthetic")
    def _as_given(self, value: Synthetic) -> dict[str, Any]:
        return value.model_dump(exclude_unset=True)
