"""Frontiers: a metric of a sweep against its L0, and the gap between two of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# An end of a sweep counts as at an L0 that is at most so many times larger or smaller.
NEAR = 1.02


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """Piecewise linear in log L0 through strictly increasing breakpoints; defined only on them.

    It passes through every point as measured: no envelope is taken, so a point that is worse than
    its neighbours shows. Points whose L0 agree to the precision of a float logarithm are one
    breakpoint with the mean of their values. Points with L0 = 0 have no logarithm and are left out.
    """

    l0: Floats
    log_l0: Floats
    value: Floats

    @classmethod
    def through(cls, l0: Floats, value: Floats) -> Frontier:
        """Join the points given in any order."""
        order = np.lexsort((value, l0))
        order = order[l0[order] > 0]
        log_l0, first, group = np.unique(np.log(l0[order]), return_index=True, return_inverse=True)
        total = np.bincount(group, weights=value[order])
        return cls(l0=l0[order][first], log_l0=log_l0, value=total / np.bincount(group))

    def at(self, l0: float) -> float:
        """Value at one L0, at an L0 just outside that of the end; ValueError further outside."""
        if not self.reaches(l0):
            raise ValueError(f"L0 = {l0:g} is outside this frontier: it is never extrapolated")
        return float(np.interp(np.log(l0), self.log_l0, self.value))

    def reaches(self, l0: float) -> bool:
        """Whether an L0 lies between the first and the last breakpoint, or within ``NEAR``."""
        return bool(self.l0.size) and self.l0[0] / NEAR <= l0 <= self.l0[-1] * NEAR


@dataclass(frozen=True, kw_only=True)
class Gap:
    """One frontier minus another over their overlap, at every breakpoint of both and its ends.

    The difference of two piecewise linear curves is piecewise linear, so these points say all.
    """

    l0: Floats
    value: Floats

    @classmethod
    def between(cls, a: Frontier, b: Frontier) -> Gap | None:
        """a minus b; None where they share no L0."""
        both = a.l0.size and b.l0.size
        if not both or max(a.l0[0], b.l0[0]) > min(a.l0[-1], b.l0[-1]):
            return None
        lo, hi = max(a.log_l0[0], b.log_l0[0]), min(a.log_l0[-1], b.log_l0[-1])
        log_l0, first = np.unique(np.concatenate([a.log_l0, b.log_l0]), return_index=True)
        l0 = np.concatenate([a.l0, b.l0])[first]
        inside = (log_l0 >= lo) & (log_l0 <= hi)
        x = log_l0[inside]
        value = np.interp(x, a.log_l0, a.value) - np.interp(x, b.log_l0, b.value)
        return cls(l0=l0[inside], value=value)

    @property
    def is_range(self) -> bool:
        """Whether the overlap is more than a single L0."""
        return self.l0.size > 1

    @property
    def mean(self) -> float:
        """Integral in log L0 divided by the length of the overlap."""
        log_l0 = np.log(self.l0)
        if not self.is_range:
            return float(self.value[0])
        return float(np.trapezoid(self.value, log_l0) / (log_l0[-1] - log_l0[0]))
