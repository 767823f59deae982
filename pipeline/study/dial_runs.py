"""What steering at one place found: the schema of the files that the tables of the dial read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.study.config.sections import Count, FieldFaults, Natural, Section
from pipeline.study.look_runs import LookRun, UsedCell
from pipeline.study.metrics import Finite, NonNegative, Share, read_measure

LATENT, PAIR, RANDOM = "latent", "pair", "random"
"""Kinds of direction: one signed latent, two opposite ones, a random one."""


class Direction(Section):
    """What is steered along, and what that does at each size of the run."""

    kind: Literal["latent", "pair", "random"]
    rank: Count
    """1 for the latent that contributes most, and for the pair of the most negative cosine."""
    latents: Annotated[list[Natural], Field(max_length=2)]
    """Numbers of the latents: one; of a pair first the one that is added at positive sizes."""
    cosine: Finite | None = None
    """Of the decoder rows of a pair."""
    contribution: Share | None = None
    """Share of the sum of z^2 over all latents and held-out tokens that is theirs."""
    own_sizes: Annotated[list[NonNegative], Field(max_length=2)] = []
    """Root mean square of z over the tokens on which a latent fires, in the unit of the sizes: of
    its positive and of its negative side, or of the two latents of a pair."""
    kl: list[Finite]
    """KL(untouched || steered) of the next-token distribution, nats."""
    effect: list[Finite]
    """Change of the logit difference, nats."""
    effect_se: list[NonNegative]
    """Its standard error over contexts."""
    promoted: list[list[str]]
    """The tokens that positive and that negative sizes promote most, in this order."""


class DialRun(LookRun):
    """One recipe, place, seed and comparison."""

    comparison: Count = 1
    """Its number in the configuration, from 1."""
    candidate: UsedCell
    baseline: UsedCell | None
    unit: NonNegative
    """What size 1 is in the activations' own units."""
    sizes: list[Finite]
    """Ascending, symmetric about 0, which is in the middle."""
    contexts: Count
    """Contexts that were measured; as many or one less chose the tokens."""
    positions: Count
    """Positions that were read in them."""
    directions: list[Direction]

    @property
    def used(self) -> list[UsedCell]:
        return [side for side in (self.candidate, self.baseline) if side is not None]

    @model_validator(mode="after")
    def _a_value_per_size(self) -> DialRun:
        for i, one in enumerate(self.directions):
            for name in ("kl", "effect", "effect_se"):
                if (found := len(getattr(one, name))) != len(self.sizes):
                    message = f"{found} values for {len(self.sizes)} sizes"
                    raise FieldFaults([(f"directions.{i}.{name}", message)])
        return self


def read_dial_run(path: Path) -> DialRun:
    """Read and validate one file; raises MetricsError as ``read_measure``."""
    return read_measure(DialRun, path, "run `snakemake dial` first")


def read_dial_runs(paths: Iterable[Path]) -> list[DialRun]:
    """Several files, in the given order; raises MetricsError for the first unusable one."""
    return [read_dial_run(path) for path in paths]
