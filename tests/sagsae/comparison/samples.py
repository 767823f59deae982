"""Sweeps whose answer is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sagsae.comparison.sweeps import CellResult, Sweep

Runs = Mapping[tuple[float, int], tuple[float, float | None]]
"""(lambda, seed) -> (L0, R2)."""


def sweep(runs: Runs, label: str = "A", width: int = 100, dead: Iterable[float | None] = ()):
    """A sweep of these cells; ``dead`` are their dead fractions, zero where there are none."""
    shares = [*dead, *[0.0] * len(runs)]
    cells = [
        CellResult(
            name=f"{label}/lam{lam:g}_seed{seed}",
            lam=lam,
            seed=seed,
            l0=l0,
            values={"r2": r2, "dead_fraction": share},
        )
        for ((lam, seed), (l0, r2)), share in zip(runs.items(), shares, strict=False)
    ]
    return Sweep(label=label, width=width, cells=tuple(cells))


def at_lambdas(points: Iterable[tuple[float, float | None]], *, start: float = 1, **changes):
    """A sweep of one seed; ``points`` are (L0, R2) at lambdas start, start + 1, ..."""
    return sweep({(start + i, 0): point for i, point in enumerate(points)}, **changes)


def seeded(*sweeps: Sweep) -> Sweep:
    """Several one-seed sweeps as the seeds of one."""
    cells = tuple(
        CellResult(name=f"{cell.name}_{s}", lam=cell.lam, seed=s, l0=cell.l0, values=cell.values)
        for s, one in enumerate(sweeps)
        for cell in one.cells
    )
    return Sweep(label=sweeps[0].label, width=sweeps[0].width, cells=cells)
