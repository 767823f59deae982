"""Specifications: everything that the output of a stage depends on, digests of others included.

A stage gets its specification as JSON text. Snakemake compares these texts to decide what to run
again, and outputs carry their digests. A new field with a default changes the text of every
specification, so each study would start again: leave such a field out of ``model_dump`` where it
has its default.
"""

from __future__ import annotations

from operator import not_
from typing import Literal, Self

from pydantic import BaseModel, Field, ValidationError

from pipeline.jobs.json_files import json_argument
from pipeline.study.config.sections import Section
from pipeline.study.config.sources import AnyText, ModelSource
from pipeline.study.config.study_config import Packing, StoreRows, TappedModel
from pipeline.study.config.yaml_files import ConfigError, describe

Split = Literal["train", "heldout"]


class Argument(BaseModel):
    """What stages are given on their command line."""

    @classmethod
    def argument(cls, text: str) -> Self:
        """From JSON text, or from the file named after an @, see ``json_argument``.

        Raises:
            ConfigError: Every fault with its path.
            ValueError: not JSON, or a damaged file.
        """
        try:
            return cls.model_validate(json_argument(text))
        except ValidationError as error:
            raise ConfigError(describe(error, cls.__name__)) from None


class Spec(Argument, Section):
    """Base of every specification."""

    revision: int
    """Of the stage's code. Raise its default when the output changes for the same specification."""


class AssetSpec(Spec):
    """Of a model's folder."""

    revision: int = 2
    model: ModelSource
    files: dict[str, str] = Field(default_factory=dict, exclude_if=not_)
    """Of a folder on this machine, sha256 of each file that counts."""


class TextSpec(Spec):
    """Of the documents."""

    revision: int = 2
    text: AnyText
    files: dict[str, str] = Field(default_factory=dict, exclude_if=not_)
    """Of files on this machine, sha256 by path."""


class TokenSpec(Packing, Spec):
    """Of the contexts of one split for one model."""

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
    """Of one activation store."""

    revision: int = 2
    model: TappedModel
    hookpoints: list[str]
    split: Split
    tokens: str
    """Digest of the split's TokenSpec."""
    calibration_tokens: str
    """Digest of the training split's TokenSpec."""
    rows: int
    seed: int
    context_length: int
    dump: StoreRows

    @property
    def is_short(self) -> bool:
        """Whether one core of a CPU dumps it in about half a minute (at 3e11 operations/s)."""
        blocks = self.model.layer + 1
        return self.rows * 24 * self.model.d_model**2 * blocks / 3e11 < 30


class BaselineSpec(Spec):
    """Of a model's own and ablated losses."""

    revision: int = 2
    stores: list[str]
    """Digests of the DumpSpecs: training split, held-out split."""
    lr_contexts: int
    hookpoints: list[str]
    model: TappedModel
