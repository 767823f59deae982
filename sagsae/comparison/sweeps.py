"""Sweeps: cells of one variant over lambdas and seeds, their points and their frontiers.

A sweep is one variant at one width trained over several lambdas. Its points are (L0, metric) per
lambda, averaged over seeds; its frontier joins them linearly in log L0, in order of L0. Seeds whose
L0 lie far apart are a point each: their mean is no code that anybody trained. So is a collapsed
cell: it is shown and named, and takes no part in frontiers, means and errors. A k-sparse variant
has numbers k of active latents in the place of lambdas; ``lam`` is k then.

A frontier is a metric of a sweep against its L0; a gap is that between two frontiers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
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


# Seeds of one lambda are one point if the largest of their L0 is at most so many times the
# smallest; else each is a point.
CLOSE = 1.5


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """What one trained cell reached. ``values`` holds its metrics; None is "undefined", not NaN."""

    name: str
    lam: float
    """Lambda, or k."""
    seed: int
    l0: float
    values: Mapping[str, float | None]
    collapsed: tuple[str, ...] = ()
    """Why the cell counts as collapsed; empty when it does not."""
    knob: str = "lam"
    """Which of the two ``lam`` is: "lam" or "k"."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds and its standard error (None with one seed)."""

    mean: float
    se: float | None

    @classmethod
    def of(cls, values: Iterable[float]) -> Estimate:
        sample = np.asarray(list(values), dtype=np.float64)
        se = sample.std(ddof=1) / math.sqrt(sample.size) if sample.size > 1 else None
        return cls(mean=float(sample.mean()), se=None if se is None else float(se))


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """One lambda of a sweep, averaged over its seeds, or one seed of it; see ``CLOSE``."""

    lam: float
    seeds: int
    seed: int | None
    """Which seed it is; None for a mean of several."""
    l0: Estimate
    values: Mapping[str, Estimate | None]
    """None where the metric is undefined for one of the seeds."""
    collapsed: tuple[str, ...]
    """Its name where the cell collapsed."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One variant at one width H on one hookpoint: all its lambdas and seeds.

    Raises:
        ValueError: no cells, one (lambda, seed) twice, lambdas beside ks, or a number that is not
            finite (or a negative L0); the message names the cell.
    """

    label: str
    width: int
    cells: tuple[CellResult, ...]

    def __post_init__(self) -> None:
        if not self.cells:
            raise ValueError(f"{self.label}: a sweep needs at least one cell")
        if len({cell.knob for cell in self.cells}) > 1:
            raise ValueError(f"{self.label}: has cells with a lambda and cells with a k")
        seen: dict[tuple[float, int], str] = {}
        for cell in self.cells:
            for what, value in {"L0": cell.l0, **cell.values}.items():
                if value is not None and not math.isfinite(value):
                    raise ValueError(f"{cell.name}: {what} is {value}; evaluate this cell again")
            if cell.l0 < 0:
                raise ValueError(f"{cell.name}: L0 is {cell.l0}, which no code can have")
            if (cell.lam, cell.seed) in seen:
                other = seen[cell.lam, cell.seed]
                raise ValueError(f"{cell.name}: same lambda and seed as {other}")
            seen[cell.lam, cell.seed] = cell.name

    @classmethod
    def from_rows(cls, rows: pd.DataFrame) -> Sweep:
        """The sweep that some rows of `sagsae.results` are; NaN counts as undefined.

        Raises:
            ValueError: no rows, rows of several models, hookpoints, variants, recipes or widths, or
                what `Sweep` refuses.
        """
        kinds = rows[["model", "hookpoint", "variant", "recipe", "width"]].drop_duplicates()
        if len(kinds) != 1:
            found = kinds.to_string(index=False) if len(kinds) else "no rows"
            raise ValueError(
                "a sweep is one variant of one width at one hookpoint of one model under one "
                f"recipe; select its rows with DataFrame.query. Given:\n{found}"
            )
        model, hookpoint, variant, recipe, width = kinds.iloc[0]
        named = f"{variant}@{recipe}" if recipe else variant
        own = ["width", "lam", "k", "seed", "l0"]
        numbers = rows.select_dtypes("number").drop(columns=own, errors="ignore")
        knob = "k" if rows["lam"].isna().all() and "k" in rows else "lam"
        values = numbers.astype(object).where(numbers.notna(), None).to_dict("records")
        keys = zip(rows[knob], rows["seed"], rows["l0"], rows["collapsed"], strict=True)
        cells = tuple(
            CellResult(
                name=f"{model}/{hookpoint}/{named}/w{width}_{knob}{lam:g}_seed{seed}",
                lam=float(lam),
                seed=int(seed),
                l0=float(l0),
                values={str(name): value for name, value in found.items()},
                collapsed=(collapsed,) if collapsed else (),
                knob=knob,
            )
            for (lam, seed, l0, collapsed), found in zip(keys, values, strict=True)
        )
        return cls(label=f"{variant}, H = {width}", width=int(width), cells=cells)

    @cached_property
    def by_lambda(self) -> dict[float, list[CellResult]]:
        """Intact cells of each lambda, both in increasing order (cells by seed)."""
        intact = [cell for cell in self.cells if not cell.collapsed]
        ordered = sorted(intact, key=lambda cell: (cell.lam, cell.seed))
        return {lam: list(cells) for lam, cells in groupby(ordered, key=lambda cell: cell.lam)}

    @cached_property
    def points(self) -> tuple[SweepPoint, ...]:
        """Intact and collapsed points by increasing L0; equal L0 by increasing lambda."""
        fallen = [[cell] for cell in self.cells if cell.collapsed]
        found = map(_point, self._groups + fallen)
        return tuple(sorted(found, key=lambda p: (p.l0.mean, p.lam, p.seed or 0)))

    @property
    def intact(self) -> list[SweepPoint]:
        """The points that the frontier joins."""
        return [point for point in self.points if not point.collapsed]

    @cached_property
    def _groups(self) -> list[list[CellResult]]:
        """The cells of each intact point, by increasing lambda and seed."""
        return [group for cells in self.by_lambda.values() for group in _grouped(cells)]

    def means(self, metric: str) -> dict[float, Estimate | None]:
        """One metric of each lambda over its intact seeds, wherever their L0 lie."""
        return {lam: _mean(metric, cells) for lam, cells in self.by_lambda.items()}

    @property
    def knob(self) -> str:
        """What it is swept over: "lam" or "k"."""
        return self.cells[0].knob

    @property
    def seeds(self) -> int:
        """Fewest intact seeds that any lambda has."""
        return min((len(cells) for cells in self.by_lambda.values()), default=0)

    @property
    def collapsed(self) -> dict[str, tuple[str, ...]]:
        """Collapsed cells and why."""
        return {cell.name: cell.collapsed for cell in self.cells if cell.collapsed}

    def undefined(self, metric: str) -> tuple[str, ...]:
        """Intact cells for which a metric has no value."""
        intact = (cell for cell in self.cells if not cell.collapsed)
        return tuple(cell.name for cell in intact if cell.values[metric] is None)

    def by_seed(self, metric: str) -> tuple[Floats, Floats] | str:
        """L0 and one metric of intact cells, [lambdas, seeds] float64, or in words why there is no
        such table."""
        rows = list(self.by_lambda.values())
        if len({tuple(cell.seed for cell in row) for row in rows}) > 1:
            return f"{self.label}: not every lambda has the same intact seeds"
        if self.seeds < 2:
            return f"{self.label} has {'one seed' if rows else 'no intact cell'}"
        if undefined := self.undefined(metric):
            return f"{metric} is undefined for {undefined[0]}"
        l0 = np.array([[cell.l0 for cell in row] for row in rows])
        return l0, np.array([[cell.values[metric] for cell in row] for row in rows], np.float64)

    def resampled(
        self, metric: str, draws: int, rng: np.random.Generator
    ) -> tuple[Floats, Floats] | str:
        """L0 and one metric of points whose seeds are drawn with replacement, or in words why there
        are none. A seed's cells stay together.

        Returns:
            [draws, points] float64 each; NaN where none of the seeds of a point was drawn.
        """
        table = self.by_seed(metric)
        if isinstance(table, str):
            return table
        l0, value = table
        chosen = rng.integers(l0.shape[1], size=(draws, l0.shape[1]))
        lambdas, (first, *_) = list(self.by_lambda), self.by_lambda.values()
        seeds = [cell.seed for cell in first]
        rows = [lambdas.index(group[0].lam) for group in self._groups]
        own = [[seed in {cell.seed for cell in group} for seed in seeds] for group in self._groups]
        weights = np.array(own, np.float64)[:, chosen]
        with np.errstate(invalid="ignore"):  # 0 / 0 where no seed of a point was drawn
            l0, value = (
                (side[rows][:, chosen] * weights).sum(axis=2) / weights.sum(axis=2)
                for side in (l0, value)
            )
        return l0.T, value.T

    def of_seed(self, seed: int) -> Sweep:
        """The cells of one seed; ValueError where it has none."""
        return replace(self, cells=tuple(cell for cell in self.cells if cell.seed == seed))

    @property
    def levels(self) -> Frontier:
        """L0 itself along the sweep: which L0 it reaches."""
        l0 = np.array([point.l0.mean for point in self.intact])
        return Frontier.through(l0, l0)

    def frontier(self, metric: str) -> Frontier:
        """The frontier of one metric; ValueError where the metric is undefined for a cell."""
        if undefined := self.undefined(metric):
            raise ValueError(f"{metric} is undefined for {undefined[0]}")
        values = [value.mean for point in self.intact if (value := point.values[metric])]
        l0 = np.array([point.l0.mean for point in self.intact])
        return Frontier.through(l0, np.array(values))


def _grouped(cells: list[CellResult]) -> list[list[CellResult]]:
    """The cells of one lambda, those of one point together."""
    reached = [cell.l0 for cell in cells]
    return [[cell] for cell in cells] if max(reached) > CLOSE * min(reached) else [cells]


def _mean(metric: str, cells: list[CellResult]) -> Estimate | None:
    known = [value for cell in cells if (value := cell.values[metric]) is not None]
    return Estimate.of(known) if len(known) == len(cells) else None


def _point(cells: list[CellResult]) -> SweepPoint:
    return SweepPoint(
        lam=cells[0].lam,
        seeds=len(cells),
        seed=cells[0].seed if len(cells) == 1 else None,
        l0=Estimate.of(cell.l0 for cell in cells),
        values={metric: _mean(metric, cells) for metric in cells[0].values},
        collapsed=tuple(cell.name for cell in cells if cell.collapsed),
    )
