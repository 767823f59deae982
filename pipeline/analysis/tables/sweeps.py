"""From the metrics of a study's cells to its sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.analysis.numbers import sweep_label
from pipeline.study.cell import Cell, SweepKey, by_sweep
from pipeline.study.metrics import CellMetrics
from pipeline.study.scope import SWEPT, Scope
from sagsae.autoencoders.registry import K
from sagsae.sweeps import CellResult, Estimate, Sweep

Metrics = dict[Cell, CellMetrics]


SWEEP = SweepKey._fields
Side = tuple[str, str, str, int]
"""One sweep under a given recipe: model, hookpoint, variant, width."""


def sweeps_of(metrics: Metrics) -> dict[SweepKey, Sweep]:
    """All sweeps, in sorted order."""
    return {
        name: Sweep(
            label=sweep_label(name.variant, name.width),
            width=name.width,
            cells=tuple(_result(cell, metrics[cell]) for cell in cells),
        )
        for name, cells in by_sweep(metrics).items()
    }


def sweeps_under(recipe: str, sweeps: dict[SweepKey, Sweep], spec: Scope) -> dict[Side, Sweep]:
    """The sweeps that stand under a recipe, in sorted order."""
    places = spec.trained[recipe]
    return {
        (key.model, key.hookpoint, key.variant, key.width): sweep
        for key, sweep in sweeps.items()
        if key.recipe == spec.home(recipe, key.variant) and (key.model, key.hookpoint) in places
    }


def _result(cell: Cell, metrics: CellMetrics) -> CellResult:
    return CellResult(
        name=cell.path,
        lam=cell.knob,
        knob=cell.knob_name,
        seed=cell.seed,
        l0=metrics.l0,
        values={name: getattr(metrics, name) for name in SWEPT},
        collapsed=tuple(metrics.collapsed),
    )


def knob_column(sweep: Sweep, value: float) -> dict[str, Any]:
    """One lambda or k of a sweep, as the column that has it."""
    return {sweep.knob: int(value) if sweep.knob == K else value}


def with_se(name: str, estimate: Estimate | None) -> dict[str, Any]:
    """A mean and its standard error as two columns; empty where there is none."""
    return {name: estimate and estimate.mean, f"{name}_se": estimate and estimate.se}


def named_collapses(sweeps: Sequence[Sweep], names: set[str] | None = None) -> str:
    """Collapsed cells and why, restricted to some names."""
    found = {name: why for sweep in sweeps for name, why in sweep.collapsed.items()}
    return "; ".join(
        f"{name} ({', '.join(why)})"
        for name, why in found.items()
        if names is None or name in names
    )
