"""Sections ``grid`` and ``comparisons``: which cells are trained, and which are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from operator import not_
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.study.cell import Cell
from pipeline.study.models import Model
from pipeline.study.sections import (
    ABSENT,
    ELSEWHERE,
    ONCE,
    Count,
    FieldFaults,
    HubRepository,
    Lambda,
    Names,
    Natural,
    PathOrNone,
    Positive,
    Section,
    Variant,
    Width,
)
from pipeline.study.training import DEFAULT_RECIPE
from sagsae.autoencoders.registry import LAMBDA, K, knobs
from sagsae.exchange import FORMATS


class ForeignSource(Section):
    """An autoencoder of another library. It is measured here and never trained."""

    kind: Literal["saelens", "dictionary_learning"]
    """The library that has written it. saelens: cfg.json and sae_weights.safetensors;
    dictionary_learning: config.json and ae.pt, a pickle that is read without running code."""
    path: PathOrNone = Field(default="", exclude_if=not_)
    """Folder on this machine. Give this or repo."""
    repo: HubRepository | None = ABSENT
    """Repository of the Hugging Face hub, owner/name. Give this or path."""
    revision: str = Field(default="", exclude_if=not_)
    """Commit or tag of the repository; must be given with repo."""
    folder: str = Field(default="", exclude_if=not_)
    """Folder of the files below path, or in the repository."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        faults = []
        if bool(self.path) == bool(self.repo):
            faults.append(("path" if self.path else "repo", "give exactly one of path and repo"))
        if self.repo and not self.revision:
            faults.append(("revision", "name the commit: a branch may change under a study"))
        if self.path and self.revision:
            faults.append(("revision", "a folder on this machine has none"))
        if faults:
            raise FieldFaults(faults)
        return self

    @property
    def local_files(self) -> list[str]:
        """The files that are on this machine, the configuration first."""
        folder = Path(self.path, self.folder)
        return [str(folder / name) for name in FORMATS[self.kind]] if self.path else []


class Sized(Section):
    """A variant at one dictionary width."""

    variant: Variant
    """Name in the registry of variants: gated, sagsae, sagsae_noaux, sagsae_onesided, sagsae_sym,
    sagsae_tied; relu, topk, batchtopk, jumprelu, matryoshka_batchtopk, and their two-sided forms
    absrelu, abstopk, absbatchtopk, absjumprelu, matryoshka_absbatchtopk; or a class of your own,
    ``my_package.module:Class``."""
    expansion: Annotated[Positive, Field(le=1e6)] | None = None
    """Dictionary width in multiples of d_model. Give this or width."""
    width: Width | None = None
    """Dictionary width H in latents. Give this or expansion."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if faults := self._faults():
            raise FieldFaults(faults)
        return self

    def _faults(self) -> list[tuple[str, str]]:
        """Fields that do not fit the others, each with what is wrong."""
        if (self.expansion is None) == (self.width is None):
            field = "expansion" if self.width is None else "width"
            return [(field, "give exactly one of expansion and width")]
        return []

    def width_for(self, d_model: int) -> int:
        """H for a model of this width."""
        if self.expansion is None:
            assert self.width is not None
            return self.width
        return max(1, math.floor(self.expansion * d_model + 0.5))


class GridEntry(Sized):
    """A block of the grid: one variant at one width over lambdas or ks, seeds, models and
    hookpoints."""

    lambdas: Annotated[list[Lambda], Field(min_length=1), *ONCE] | None = ABSENT
    """Sparsity coefficients, of activations as ``training.input_norm`` scales them. Of each variant
    with a penalty; what lambda weighs is said in docs/method.md."""
    ks: Annotated[list[Count], Field(min_length=1), *ONCE] | None = ABSENT
    """Numbers of active latents per token, of k-sparse variants in the place of lambdas: topk,
    batchtopk, matryoshka_batchtopk and their two-sided forms."""
    seeds: Annotated[list[Natural], Field(min_length=1), *ONCE] = [0]
    """Seeds of the initial weights and of the order of the batches."""
    models: Names = None
    """Restrict to these models; all when absent."""
    hookpoints: Names = None
    """Restrict to these hookpoints, or with names such as l5.resid to one layer; all when
    absent."""
    recipes: Names = ABSENT
    """Recipes under which the cells are trained, by name; ``default`` is section training, which
    is also meant when absent."""

    source: ForeignSource | None = ABSENT
    """Where an autoencoder comes from that another library has trained. Such a block has one cell,
    of a variant that is named foreign-... and whose lambda names it in its sweep; the cell is
    evaluated and never trained."""

    @property
    def knobs(self) -> list[dict[str, Any]]:
        """Its lambdas, or its ks, each as the field of a cell."""
        lambdas: list[dict[str, Any]] = [{LAMBDA: lam} for lam in self.lambdas or []]
        return lambdas + [{K: k} for k in self.ks or []]

    def _faults(self) -> list[tuple[str, str]]:
        fields = {LAMBDA: "lambdas", K: "ks"}
        allowed = [fields[knob] for knob in knobs(self.variant)]
        given = [field for field in fields.values() if getattr(self, field) is not None]
        faults = [
            (field, f"{self.variant} takes {allowed[0]} in their place")
            for field in given
            if field not in allowed
        ]
        if len(given) != 1 and not faults:
            faults.append((allowed[0], f"give exactly one of {' and '.join(allowed)}, not empty"))
        return super()._faults() + faults


class Contender(Sized):
    """One side of a comparison."""


class Comparison(Section):
    """Candidate against baseline over the overlap of their swept L0 ranges."""

    candidate: Contender
    """The variant that is claimed to be better."""
    baseline: Contender
    """The variant it is compared with."""
    matched_l0: Annotated[list[Positive], *ONCE] = [64.0]
    """L0 values at which both are read off their frontiers, where the overlap contains them."""


def cells_of(entry: GridEntry, models: Sequence[Model], hookpoints: Sequence[str]) -> list[Cell]:
    """Cells of one block of the grid of a study with these models and hookpoints."""
    return [
        Cell(
            model=model.name,
            hookpoint=place.name,
            variant=entry.variant,
            recipe="" if recipe == DEFAULT_RECIPE else recipe,
            width=entry.width_for(model.d_model),
            seed=seed,
            **knob,
        )
        for model in models
        if entry.models is None or model.name in entry.models
        for place, recipe, knob, seed in product(
            model.places(hookpoints), entry.recipes or [""], entry.knobs, entry.seeds
        )
        if place.is_among(entry.hookpoints)
    ]


def is_foreign(cell: Cell) -> bool:
    """Whether a cell's name says that it was trained elsewhere."""
    return ELSEWHERE.fullmatch(cell.variant) is not None
