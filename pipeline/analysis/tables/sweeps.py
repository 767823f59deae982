"""From the metrics of a study's cells to its sweeps, and columns that tables of sweeps share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from pipeline.analysis.numbers import sweep_label, variant_label
from pipeline.study.cell import Cell, SweepKey
from pipeline.study.metrics import TRUTH, CellMetrics
from pipeline.study.places import Place
from pipeline.study.scope import MATCHED, Scope
from sagsae.comparison.sweeps import Estimate, Sweep

Metrics = dict[Cell, CellMetrics]
Sweeps = Mapping[SweepKey, Sweep]
SWEEP = SweepKey._fields


def sweeps_of(metrics: Metrics) -> dict[SweepKey, Sweep]:
    """All sweeps, in sorted order, with the metrics that are compared."""
    cells = pd.DataFrame(
        asdict(cell)
        | {"l0": metrics[cell].l0, "collapsed": ", ".join(metrics[cell].collapsed)}
        | {name: getattr(metrics[cell], name) for name in MATCHED}
        | {name: getattr(metrics[cell], name) for name in TRUTH if metrics[cell].f1 is not None}
        for cell in sorted(metrics)
    )
    return sweeps_in(cells.astype(dict.fromkeys(MATCHED, float)))


def sweeps_in(cells: pd.DataFrame) -> dict[SweepKey, Sweep]:
    """All sweeps of a table of cells, in sorted order, with every number that it has of them."""
    sweeps = {}
    for names, rows in cells.groupby(list(SWEEP)):
        key = SweepKey._make(names)
        sweeps[key] = replace(Sweep.from_rows(rows), label=sweep_label(key.variant, key.width))
    return sweeps


def keys_under(recipe: str, sweeps: Iterable[SweepKey], spec: Scope) -> list[SweepKey]:
    """The sweeps that stand under a recipe, in the order given."""
    return [
        key
        for key in sweeps
        if key.recipe == spec.home(recipe, key.variant) and key[:2] in spec.trained[recipe]
    ]


def by_place(sweeps: Sweeps, spec: Scope) -> Iterator[tuple[str, list[SweepKey]]]:
    """Recipe by recipe the sweeps that stand under it at each (model, hookpoint), in the order
    given."""
    for recipe, places in spec.trained.items():
        under = keys_under(recipe, sweeps, spec)
        for place in places:
            yield recipe, [key for key in under if key[:2] == place]


def with_se(name: str, estimate: Estimate | None) -> dict[str, Any]:
    """A mean and its standard error as two columns; empty where there is none."""
    return {name: estimate and estimate.mean, f"{name}_se": estimate and estimate.se}


def joined(texts: Iterable[str]) -> str:
    """Different texts in one."""
    return "; ".join(dict.fromkeys(filter(None, texts)))


def collapses(*sweeps: Sweep) -> dict[str, str]:
    """Names of collapsed cells -> each with the reasons."""
    reasons = {name: why for sweep in sweeps for name, why in sweep.collapsed.items()}
    return {name: f"{name} ({', '.join(why)})" for name, why in reasons.items()}


def with_places(table: pd.DataFrame) -> pd.DataFrame:
    """Adds ``layer`` and ``target`` behind the hookpoint, each where some place has one."""
    if table.empty:
        return table
    places = [Place.named(name) for name in table["hookpoint"]]
    behind = list(table).index("hookpoint") + 1
    if any(place.target for place in places):
        table.insert(behind, "target", [place.target for place in places])
    if any(place.layer is not None for place in places):
        layers = [place.layer for place in places]
        table.insert(behind, "layer", pd.Series(layers, table.index, "Int64"))
    return table


def with_series(points: pd.DataFrame, spec: Scope) -> pd.DataFrame:
    """Adds ``series``, the label of what a row belongs to: in figures, of its line.

    A width that every model has is one series; widths that grow with d_model are one series too,
    labelled with the widths of all models.
    """
    if points.empty:  # columns of an empty file have no type to compute with
        return points.assign(series=pd.Series(dtype=str))
    models = points.groupby(["variant", "width"])["model"].transform("nunique")
    shared = models == points["model"].nunique()
    multiple = (points["width"] / points["model"].map(spec.models)).where(~shared, points["width"])
    widths = points.groupby(["variant", shared, multiple], sort=False)["width"].transform(
        lambda group: " / ".join(str(width) for width in sorted(set(group)))
    )
    return points.assign(series=points["variant"].map(variant_label) + ", H = " + widths)
