"""The grid: its cells, and the faults of a configuration that concern more than one field."""

from __future__ import annotations

from itertools import product

from pipeline import config as c
from pipeline.cell import Cell, CellNameError, lambda_tag
from sagsae.autoencoders.registry import VARIANTS


def cells_of(entry: c.GridEntry, config: c.StudyConfig) -> list[Cell]:
    """Cells of one block of the grid."""
    models = [m for m in config.models if entry.models is None or m.name in entry.models]
    hookpoints = entry.hookpoints or config.hookpoints
    return [
        Cell(
            model=model.name,
            hookpoint=hookpoint,
            variant=entry.variant,
            width=entry.width_for(model.d_model),
            lam=lam,
            seed=seed,
        )
        for model, hookpoint, lam, seed in product(models, hookpoints, entry.lambdas, entry.seeds)
    ]


def cross_faults(config: c.StudyConfig) -> list[str]:
    """Faults that concern more than one field, each with its path."""
    faults = []
    names = [model.name for model in config.models]
    for what, values in (("models", names), ("hookpoints", config.hookpoints)):
        twice = sorted({value for value in values if values.count(value) > 1})
        faults += [f"{what}: {value!r} is listed twice" for value in twice]
    standard = {"mlp_out", "attn", "resid"}
    for i, model in enumerate(config.models):
        missing = [h for h in config.hookpoints if h not in (set(model.hookpoints) or standard)]
        faults += [f"models.{i}.hookpoints: no module path for hookpoint {h!r}" for h in missing]
    seen: dict[Cell, int] = {}
    for i, entry in enumerate(config.grid):
        faults += [f"grid.{i}.{fault}" for fault in _entry_faults(entry, names, config.hookpoints)]
        if any(f.startswith(f"grid.{i}.") for f in faults):
            continue
        for cell in cells_of(entry, config):
            if cell in seen:
                faults.append(f"grid.{i}: cell {cell.path} is already given by grid.{seen[cell]}")
            seen.setdefault(cell, i)
    for i, item in enumerate(config.comparisons):
        for side in ("candidate", "baseline"):
            name = getattr(item, side).variant
            if name not in VARIANTS:
                faults.append(f"comparisons.{i}.{side}.variant: {_unknown(name)}")
    return faults


def _unknown(name: str) -> str:
    return f"unknown variant {name!r}; known are {', '.join(sorted(VARIANTS))}"


def _entry_faults(entry: c.GridEntry, models: list[str], hookpoints: list[str]) -> list[str]:
    faults = [] if entry.variant in VARIANTS else [f"variant: {_unknown(entry.variant)}"]
    for field, known in (("models", models), ("hookpoints", hookpoints)):
        unknown = [value for value in getattr(entry, field) or [] if value not in known]
        faults += [f"{field}: unknown {v!r}; known are {', '.join(known)}" for v in unknown]
    for lam in entry.lambdas:
        try:
            lambda_tag(lam)
        except CellNameError as error:
            faults.append(f"lambdas: {error}")
    return faults
