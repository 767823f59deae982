"""The ``synthetic`` section of a configuration. Its defaults are the protocols.

Sizes and grids are this project's own: the paper's were not at hand. What no study changes is a
constant of ``pipeline.synthetic.protocols``.
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, field_serializer

from pipeline.study.sections import Count, Lambda, Natural, Number, Positive, Section, Spec, Variant
from sagsae.autoencoders.registry import LAMBDA, knobs


def _with_lambda(name: str) -> str:
    if LAMBDA not in knobs(name):
        raise ValueError(f"{name} takes k, and protocols sweep lambda: leave it out")
    return name


Swept = Annotated[Variant, AfterValidator(_with_lambda)]
"""A variant that has a lambda."""

Correlations = Annotated[list[Annotated[Number, Field(ge=-1, le=0)]], Field(min_length=1)]

Lambdas = Annotated[list[Lambda], Field(min_length=1)]


class Contestant(Section):
    """A variant at a width that follows the number of features."""

    variant: Swept
    """Name in the registry of variants; one that takes lambda."""
    multiple: Positive = 1.0
    """Dictionary width H in latents per pair of opposite features; rounded."""

    def width_for(self, pairs: int) -> int:
        """H for this many pairs."""
        return max(1, round(self.multiple * pairs))


def _entry(variant: str, multiple: float = 1.0) -> Contestant:
    return Contestant(variant=variant, multiple=multiple)


BASELINES = (_entry("gated", 2.0), _entry("gated"))

Contestants = Annotated[list[Contestant], Field(min_length=1)]


class Protocol(Section):
    """What every protocol chooses."""

    steps: Count = 1500
    """Optimiser steps of a run."""
    lambdas: Lambdas
    """Sweep of the sparsity coefficient. The operating point is the one whose mean L0 is nearest,
    in ratio, to the expected number of active features."""
    axes: ClassVar[tuple[str, ...]] = ("contestants", "lambdas")
    """Fields whose values are combined, each with each."""

    @property
    def runs(self) -> int:
        """Autoencoders per seed."""
        return prod(len(getattr(self, axis)) for axis in self.axes)


class PolarityDial(Protocol):
    """Protocol A: signed axes whose negative side is larger by alpha, in noise."""

    axes: ClassVar = ("alphas", "contestants", "lambdas")

    d: Count = 32
    """Width of the synthetic activations."""
    pairs: Count = 16
    """Axes K."""
    alphas: Annotated[list[Positive], Field(min_length=1)] = [1.0, 2.0, 4.0]
    """Scales of the negative side."""
    contestants: Contestants = [
        *BASELINES,
        _entry("sagsae"),
        _entry("sagsae_sym"),
        _entry("sagsae_tied"),
    ]
    """Variants and widths."""
    lambdas: Lambdas = [0.1, 0.2, 0.45, 0.9]
    """Sweep of the sparsity coefficient, see ``Protocol``."""


class Anomalies(Protocol):
    """Protocol B: large excursions of one axis in one direction, under a budget of latents."""

    axes: ClassVar = ("budgets", "variants", "lambdas")

    d: Count = 32
    """Width of the synthetic activations."""
    pairs: Count = 16
    """Axes K."""
    budgets: Annotated[list[Positive], Field(min_length=1)] = [0.5, 1.0, 2.0]
    """Latents per axis; every variant gets each budget."""
    variants: Annotated[list[Swept], Field(min_length=1)] = ["gated", "sagsae_sym", "sagsae_tied"]
    """Variants that are compared."""
    lambdas: Lambdas = [0.7, 1.2, 1.8]
    """Sweep of the sparsity coefficient, see ``Protocol``."""


class Consolidation(Protocol):
    """Protocol C: antipodal pairs in superposition, about one active a sample."""

    axes: ClassVar = ("superpositions", "contestants", "lambdas")

    d: Count = 32
    """Width of the synthetic activations."""
    steps: Count = 2500
    """Optimiser steps of a run; many pairs are each seen seldom."""
    superpositions: Annotated[list[Positive], Field(min_length=1)] = [0.5, 1.0, 2.0, 4.0, 8.0]
    """Pairs per dimension n / d."""
    contestants: Contestants = [*BASELINES, _entry("sagsae_tied")]
    """Variants and widths."""
    lambdas: Lambdas = [0.6, 1.0, 1.5, 2.2]
    """Sweep of the sparsity coefficient, see ``Protocol``."""


class Robustness(Protocol):
    """Protocol C with poles that are not strictly opposed, in their activity or their direction."""

    d: Count = 32
    """Width of the synthetic activations."""
    pairs: Count = 16
    """Pairs n."""
    correlations: Correlations = [-1.0, -0.75, -0.5, -0.25, 0.0]
    """rho: both poles of a pair are active with probability q^2 (1 + rho)."""
    cosines: Correlations = [-1.0, -0.95, -0.9, -0.8, -0.7, -0.5]
    """Of the two poles of a pair that are never active together."""
    contestants: Contestants = [_entry("gated", 2.0), _entry("sagsae_tied")]
    """Variants and widths."""
    lambdas: Lambdas = [0.4, 0.6]
    """Sweep of the sparsity coefficient, see ``Protocol``."""

    @property
    def runs(self) -> int:
        """Autoencoders per seed."""
        return super().runs * (len(self.correlations) + len(self.cosines))


class Geometry(Protocol):
    """Protocol C on a plane, for looking at."""

    contestants: Contestants = [*BASELINES, _entry("sagsae_tied")]
    """Variants and widths."""
    lambdas: Lambdas = [0.4, 0.8, 1.2]
    """Sweep of the sparsity coefficient, see ``Protocol``."""


class Synthetic(Section):
    """Protocols whose features are known: `snakemake synthetic`."""

    with_study: bool = False
    """Whether the study runs them by itself, so that their claims are judged. Otherwise claims and
    report show them once `snakemake synthetic` has run."""
    seeds: Annotated[list[Natural], Field(min_length=1)] = [0, 1, 2]
    """Seeds of features, samples and initial weights."""
    evaluation_rows: Count = 16384
    """Samples, drawn apart, on which everything is measured."""
    batch_size: Count = 1024
    """Samples per training step."""
    polarity_dial: PolarityDial = PolarityDial()
    """Protocol A."""
    anomalies: Anomalies = Anomalies()
    """Protocol B."""
    consolidation: Consolidation = Consolidation()
    """Protocol C."""
    robustness: Robustness = Robustness()
    """The robustness sweep."""
    geometry: Geometry = Geometry()
    """Pairs on a plane."""


PROTOCOLS = ("polarity_dial", "anomalies", "consolidation", "robustness", "geometry")


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
