"""Specifications: everything that the output of a stage depends on, digests of others included.

A stage gets its specification as JSON text. Snakemake compares these texts to decide what to run
again, and outputs carry their digests. A new field with a default changes the text of every
specification, so each study would start again: leave such a field out of ``model_dump`` where it
has its default.
"""

from __future__ import annotations

from operator import not_
from typing import Any, Literal

from pydantic import Field

from pipeline.study.cell import Cell
from pipeline.study.grid import ForeignSource
from pipeline.study.models import TappedModel
from pipeline.study.outputs import Split
from pipeline.study.sections import ABSENT, Spec
from pipeline.study.sources import AnyText, FeatureRows, ModelSource
from pipeline.study.study_config import Evaluation, Packing, StoreRows
from pipeline.study.training import Training
from sagsae.training.recipe import SETTINGS, Recipe, uses


class AssetSpec(Spec):
    """What a model's folder depends on."""

    revision: int = 2
    model: ModelSource
    """As ``content_of`` gives it."""


class TextSpec(Spec):
    """What the documents depend on."""

    revision: int = 2
    text: AnyText
    """As ``content_of`` gives it."""


class TokenSpec(Packing, Spec):
    """What the contexts of one split depend on, for one model."""

    revision: int = 2
    asset: str
    """Digest of the AssetSpec."""
    documents: str
    """Digest of the TextSpec."""
    start_token: Literal["bos", "eos", "none"]
    split: Split
    rows: int
    """Rows that the contexts must fill."""
    rows_per_block: int
    slack: float


class DumpSpec(Spec):
    """What one activation store depends on."""

    revision: int = 2
    model: TappedModel
    hookpoints: list[str]
    """Names in the store, see ``pipeline.study.places``."""
    split: Split
    tokens: str
    """Digest of the split's TokenSpec."""
    calibration_tokens: str
    """Digest of the training split's TokenSpec."""
    rows: int
    seed: int
    context_length: int
    dump: StoreRows
    like: str = Field(default="", exclude_if=not_)
    """Of a model that is like another one, digest of the other one's training DumpSpec."""
    source: FeatureRows | None = ABSENT
    """Of rows whose features are known."""


class BaselineSpec(Spec):
    """What a model's own and ablated losses depend on."""

    revision: int = 3
    stores: list[str]
    """Digests of the DumpSpecs: training split, held-out split."""
    lr_contexts: int
    hookpoints: list[str]
    """Names in the stores of those that are replaced."""
    crossings: list[str] = Field(default_factory=list, exclude_if=not_)
    """Places at which transcoders are trained."""
    model: TappedModel


class TrainSpec(Spec):
    """What one cell's training depends on."""

    revision: int = 3
    cell: Cell
    d_model: int
    store: str
    """Digest of the training store's DumpSpec."""
    training: Training
    source: ForeignSource | None = ABSENT
    """Where the weights come from, if they were trained elsewhere."""
    files: list[str] = Field(default_factory=list, exclude_if=not_)
    """sha256 of each of its files, if they are on this machine."""

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
    """What the evaluation of one model's cells depends on."""

    revision: int = 3
    baselines: str
    """Digest of the BaselineSpec, which names both stores; empty without a language model."""
    store: str = Field(default="", exclude_if=not_)
    """Digest of the held-out store's DumpSpec where there is no language model."""
    evaluation: Evaluation


class ExportSpec(Spec):
    """What the export of one cell for SAELens says of language model and text."""

    revision: int = 1
    cell: Cell
    model: TappedModel
    source: ModelSource
    start_token: Literal["bos", "eos", "none"]
    context_length: int
    max_norm_ratio: float
    text: AnyText
