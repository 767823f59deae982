"""The name of one training run: a point of the grid and its folder under ``cells/``.

A recipe other than the default one follows the variant's name: ``gated@zero-bias``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import total_ordering
from itertools import groupby
from operator import attrgetter, not_
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import ConfigDict, Field, Strict

from pipeline.study.places import Place
from pipeline.study.sections import NAME_LENGTH, CellNameError, Count, Lambda, Natural, lambda_tag
from pipeline.study.training import DEFAULT_RECIPE
from sagsae.autoencoders.registry import FOREIGN, LAMBDA, K

# Snakemake constraints: wide on purpose, so that ``Cell.from_path`` can say what is wrong.
WILDCARDS = dict.fromkeys(("model", "hookpoint", "variant"), r"[^/]+")
WILDCARDS |= dict.fromkeys(("width", "knob", "seed"), r"[^/_]+")

PATTERN = "{model}/{hookpoint}/{variant}/w{width}_{knob}_seed{seed}"

_PATH = re.compile(PATTERN.replace("{", "(?P<").replace("}", ">[^/]+?)"))

_KNOB = re.compile("(lam|k)(.+)", re.DOTALL)

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{NAME_LENGTH - 1}}}")


def _whole(field: str, text: str) -> int:
    """A number of a name, in its one spelling."""
    if re.fullmatch(r"0|[1-9][0-9]{0,17}", text):
        return int(text)
    raise CellNameError(f"{field}{text} is not canonical: give a plain integer below 10^18")


def _knob(text: str) -> dict[str, Any]:
    """The lambda or the k of a name, in its one spelling."""
    match = _KNOB.fullmatch(text)
    if match is None:
        raise CellNameError(f"{text!r} is neither lam<lambda> nor k<k>")
    name, number = match.groups()
    if name == K:
        if (k := _whole("k", number)) == 0:
            raise CellNameError("k0: at least one latent is active")
        return {"k": k}
    try:
        value = float(number)
    except ValueError:
        raise CellNameError(f"lam{number}: {number!r} is not a number") from None
    tag = lambda_tag(value)
    if tag != number:
        raise CellNameError(f"lam{number} is not canonical: ask for lam{tag}")
    return {"lam": value}


class SweepKey(NamedTuple):
    """What the cells of one sweep have in common."""

    model: str
    hookpoint: str
    variant: str
    recipe: str
    width: int


@total_ordering
@dataclass(frozen=True, kw_only=True)
class Cell:
    """One autoencoder: (model, hookpoint, variant, recipe, width H, lambda or k, seed).

    As a field of a pydantic model it is read from an object with just these keys.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    model: str
    hookpoint: str
    variant: str
    # Empty for the default one, of which files say nothing.
    recipe: Annotated[str, Field(exclude_if=not_)] = ""
    width: Annotated[Count, Strict()]
    # Weight of the penalty; None for a variant with a number of active latents.
    lam: Annotated[Lambda | None, Field(exclude_if=not_)] = None
    # Active latents per token; None for a variant with a penalty.
    k: Annotated[Annotated[Count, Strict()] | None, Field(exclude_if=not_)] = None
    seed: Annotated[Natural, Strict()]

    def __post_init__(self) -> None:
        if (self.lam is None) == (self.k is None):
            raise ValueError("a cell has one of lam and k")

    def __lt__(self, other: Cell) -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[Any, ...]:
        return *self.sweep, self.knob_name, self.knob, self.seed

    @property
    def knob(self) -> float:
        """What sets its sparsity: lambda, or k. Cells of one sweep have the same of the two."""
        return self.lam if self.lam is not None else float(self.k or 0)

    @property
    def knob_name(self) -> str:
        """Which of the two that is, as columns of tables are called."""
        return LAMBDA if self.lam is not None else K

    @property
    def place(self) -> Place:
        """What it reads and predicts of its model."""
        return Place.named(self.hookpoint)

    @property
    def sweep(self) -> SweepKey:
        """The sweep that it is of: all but lambda or k, and seed."""
        return SweepKey(self.model, self.hookpoint, self.variant, self.recipe, self.width)

    @property
    def path(self) -> str:
        """Folder of the cell, relative to ``cells/``."""
        variant = f"{self.variant}@{self.recipe}" if self.recipe else self.variant
        knob = f"k{self.k}" if self.lam is None else f"lam{lambda_tag(self.lam)}"
        return PATTERN.format(**vars(self) | {"variant": variant, "knob": knob})

    @classmethod
    def from_path(cls, path: str) -> Cell:
        """Inverse of ``path``.

        Raises:
            CellNameError: anything that ``path`` cannot return. Where a number is not in its
                canonical spelling, the message gives the spelling to ask for.
        """
        match = _PATH.fullmatch(path)
        if match is None:
            raise CellNameError(
                f"{path!r} is not <model>/<hookpoint>/<variant>[@<recipe>]/w<H>_lam<lambda>_seed<s>"
                ", nor with k<k> in the place of the lambda"
            )
        model, hookpoint, of, width, knob, seed = match.groups()
        variant, at, recipe = of.partition("@")
        if at and recipe in ("", DEFAULT_RECIPE):
            raise CellNameError(f"{of} is not canonical: ask for {variant}")
        Place.named(hookpoint)  # or it raises
        names = {"model": model, "variant": variant}
        names |= {"recipe": recipe} if recipe else {}
        for field, text in names.items():
            foreign = field == "variant" and len(text) <= NAME_LENGTH and FOREIGN.fullmatch(text)
            if not (_NAME.fullmatch(text) or foreign):
                raise CellNameError(
                    f"{field} {text!r} is no name: letters, digits, - and _, "
                    f"{NAME_LENGTH} characters at most"
                )
        latents, number = _whole("w", width), _whole("seed", seed)
        if latents == 0:
            raise CellNameError("w0: a dictionary has at least one latent")
        values: dict[str, Any] = {**names, "width": latents, "seed": number, **_knob(knob)}
        return cls(hookpoint=hookpoint, **values)


def by_sweep(cells: Iterable[Cell]) -> dict[SweepKey, list[Cell]]:
    """Cells of each sweep, all in sorted order."""
    return {key: list(found) for key, found in groupby(sorted(cells), attrgetter("sweep"))}


# Columns of tables that have them; the second is absent where no cell has a k.
KNOBS = ("lam", "k")


def knob_of(row: Mapping[Any, Any]) -> str:
    """What sets the sparsity of a row of a table, for people: ``λ 0.1``, or ``k 64``."""
    lam = row["lam"]
    if lam is None or lam != lam:
        return f"k {int(row['k'])}"
    return f"λ {lambda_tag(lam)}"
