"""What each synthetic protocol sweeps, at each size that section ``synthetic`` names.

Sizes and grids are this project's own: the paper's were not at hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar


@dataclass(frozen=True)
class Contestant:
    """A variant at a width that follows the number of features."""

    variant: str
    # Dictionary width H in latents per pair of opposite features; rounded.
    multiple: float = 1.0

    def width_for(self, pairs: int) -> int:
        """H for this many pairs."""
        return max(1, round(self.multiple * pairs))


GATED = (Contestant("gated", 2.0), Contestant("gated"))
TIED = Contestant("sagsae_tied")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What every protocol chooses."""

    # Width of the synthetic activations.
    d: int = 32
    # Axes, or pairs of opposite features.
    pairs: int = 16
    # Optimiser steps of a run.
    steps: int = 1500
    # Samples per training step.
    batch_size: int = 1024
    # Samples, drawn apart, on which everything is measured.
    evaluation_rows: int = 16384
    contestants: tuple[Contestant, ...] = (*GATED, TIED)
    # Sweep of the sparsity coefficient. The operating point is the one whose mean L0 is nearest,
    # in ratio, to the expected number of active features.
    lambdas: tuple[float, ...]
    # Fields whose values are combined, each with each.
    axes: ClassVar[tuple[str, ...]] = ("contestants", "lambdas")

    @property
    def runs(self) -> int:
        """Autoencoders per seed."""
        return prod(len(getattr(self, axis)) for axis in self.axes)


@dataclass(frozen=True, kw_only=True)
class PolarityDial(Protocol):
    """Protocol A: signed axes whose negative side is larger by alpha, in noise."""

    axes: ClassVar = ("alphas", "contestants", "lambdas")
    alphas: tuple[float, ...] = (1.0, 2.0, 4.0)
    contestants: tuple[Contestant, ...] = (
        *GATED,
        Contestant("sagsae"),
        Contestant("sagsae_sym"),
        TIED,
    )
    lambdas: tuple[float, ...] = (0.1, 0.2, 0.45, 0.9)


@dataclass(frozen=True, kw_only=True)
class Anomalies(Protocol):
    """Protocol B: large excursions of one axis in one direction, under a budget of latents."""

    axes: ClassVar = ("budgets", "variants", "lambdas")
    # Latents per axis; every variant gets each budget.
    budgets: tuple[float, ...] = (0.5, 1.0, 2.0)
    variants: tuple[str, ...] = ("gated", "sagsae_sym", "sagsae_tied")
    lambdas: tuple[float, ...] = (0.7, 1.2, 1.8)


@dataclass(frozen=True, kw_only=True)
class Consolidation(Protocol):
    """Protocol C: antipodal pairs in superposition, about one active a sample."""

    axes: ClassVar = ("superpositions", "contestants", "lambdas")
    steps: int = 2500  # many pairs are each seen seldom
    # Pairs per dimension n / d.
    superpositions: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    lambdas: tuple[float, ...] = (0.6, 1.0, 1.5, 2.2)


@dataclass(frozen=True, kw_only=True)
class Robustness(Protocol):
    """Protocol C with poles that are not strictly opposed, in their activity or their direction."""

    # rho: both poles of a pair are active with probability q^2 (1 + rho).
    correlations: tuple[float, ...] = (-1.0, -0.75, -0.5, -0.25, 0.0)
    # Of the two poles of a pair that are never active together.
    cosines: tuple[float, ...] = (-1.0, -0.95, -0.9, -0.8, -0.7, -0.5)
    contestants: tuple[Contestant, ...] = (GATED[0], TIED)
    lambdas: tuple[float, ...] = (0.4, 0.6)

    @property
    def runs(self) -> int:
        """Autoencoders per seed."""
        return super().runs * (len(self.correlations) + len(self.cosines))


@dataclass(frozen=True, kw_only=True)
class Geometry(Protocol):
    """Protocol C on a plane, for looking at: d = 2, 3 pairs."""

    lambdas: tuple[float, ...] = (0.4, 0.8, 1.2)


_FULL: dict[str, Protocol] = {
    "polarity_dial": PolarityDial(),
    "anomalies": Anomalies(),
    "consolidation": Consolidation(),
    "robustness": Robustness(),
    "geometry": Geometry(),
}
_TWO = (GATED[0], TIED)
# Half the steps: what the claims say shows by then.
_QUICK = {
    "polarity_dial": PolarityDial(alphas=(1.0, 4.0), contestants=_TWO, lambdas=(0.2, 0.45)),
    "anomalies": Anomalies(
        budgets=(0.5, 1.0), variants=("gated", "sagsae_tied"), lambdas=(0.7, 1.2)
    ),
    "consolidation": Consolidation(superpositions=(0.5, 2.0), contestants=_TWO, lambdas=(0.6, 1.0)),
    "robustness": Robustness(correlations=(-1.0, -0.5), cosines=(-1.0, -0.7), lambdas=(0.4,)),
    "geometry": Geometry(lambdas=(1.2,)),
}
_TINY = {
    "polarity_dial": PolarityDial(alphas=(1.0, 4.0), lambdas=(0.2, 0.6)),
    "anomalies": Anomalies(budgets=(0.5, 2.0), lambdas=(0.6,)),
    "consolidation": Consolidation(superpositions=(0.5, 1.0), lambdas=(0.6,)),
    "robustness": Robustness(correlations=(-1.0, 0.0), cosines=(-1.0, -0.5), lambdas=(0.4,)),
    "geometry": Geometry(lambdas=(0.8,)),
}
# Size -> protocol -> what it sweeps.
SIZES: dict[str, dict[str, Protocol]] = {
    "full": _FULL,
    "quick": {key: replace(sweep, steps=sweep.steps // 2) for key, sweep in _QUICK.items()},
    "tiny": {
        name: replace(sweep, d=8, pairs=4, steps=600, batch_size=256, evaluation_rows=4096)
        for name, sweep in _TINY.items()
    },
}
