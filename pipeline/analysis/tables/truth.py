"""visible.csv: which number that can be seen without a truth predicts what is true."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.columns import Column, text
from pipeline.analysis.csv_files import read_table
from pipeline.analysis.table import Source, Table
from pipeline.analysis.tables.cells import CELLS
from pipeline.analysis.tables.signs import CONSISTENCY
from pipeline.study.cell import KNOBS, SweepKey
from pipeline.study.measures import Measures
from pipeline.study.metrics import TRUTH
from sagsae.autoencoders.registry import sides, stem
from sagsae.comparison.intervals import rank_correlation
from sagsae.comparison.sweeps import Floats

# What can be seen -> its name in words.
VISIBLE = {
    "r2": "R²",
    "alive": "Share of live latents",
    "bipolar_fraction": "Share of live latents that fire with both signs",
    "consistency": "Stability across seeds (mean cosine of one-to-one matches)",
    "l0": "L0",
}
# Numbers of TRUTH that visible ones may predict.
TRUE = ("f1", "mcc", "features_found")
# A point is near the true L0 if the larger of both is at most so many times the smaller.
NEAR = 1.5


def _open(known: Measures, root: Path) -> dict[str, Any]:
    """``points``: means over seeds of what was measured of the cells; ``levels``: matched L0."""
    scope, cells = known.scope, read_table(root / CELLS.path)
    knobs = [name for name in KNOBS if name in cells]
    names = [*SweepKey._fields, *knobs]
    sound = cells[cells["collapsed"] == ""].assign(alive=1 - cells["dead_fraction"])
    kept = [name for name in (*VISIBLE, *TRUTH) if name in sound]
    points = sound.groupby(names, dropna=False)[kept].mean().reset_index()
    if CONSISTENCY.is_of(scope):
        agreed = read_table(root / CONSISTENCY.path).filter([*names, "assigned"])
        points = points.merge(agreed.rename(columns={"assigned": "consistency"}), "left", names)
    return {"points": points, "levels": scope.matched_levels}


VISIBLE_NUMBERS = Table(
    "visible",
    "Which metric predicts the ground truth",
    reads="Spearman's rank correlation between a number that needs no ground truth and one that "
    "does, over dictionaries (each the mean of its seeds). Where something is given, it is the "
    "partial correlation. 'Near' are dictionaries whose L0 is within a factor of 1.5 of the true "
    "one; at an L0, each sweep is interpolated there. The 95 % interval is a bootstrap over cells "
    "of the design (family, width, sparsity), and covers no other family.",
    header="model recipe truth visible points_from width given n correlation low high",
    by=["model recipe truth"],
    columns=[
        text("visible", "Metric", lambda name: VISIBLE[name]),
        text("points_from", "Points"),
        Column("width"),
        text("given", "Given"),
        Column("n"),
        "correlation low high",
    ],
    texts="recipe truth given",
)


@VISIBLE_NUMBERS.made_from(
    Source("truth", _open, lambda scope: scope.truth, tables=(CELLS, CONSISTENCY))
)
def visible_table(points: pd.DataFrame, levels: Sequence[float]) -> Iterator[dict[str, Any]]:
    """One row per (model, recipe, true number, visible number, points, width, what is given) with a
    correlation.

    Columns:
        truth: f1, mcc or features_found, see ``sagsae.judged``
        points_from: all; near: those whose L0 is near the mean number of features in a row; or at
            an L0: each sweep at a matched L0, linear in log L0 between its points
        width: of the dictionaries; empty for those of all widths together
        given: what the correlation is partial to: L0, width, and whether latents are signed
        n: how many points have both numbers
        correlation, low, high: Spearman's, and its 95 % interval, see
            ``sagsae.comparison.intervals``; no ends for fewer than five cells of the design
    """
    points = points.sort_values("l0", kind="stable")
    sweep = list(SweepKey._fields)
    points["level"] = points.groupby(sweep).cumcount()
    points["family"] = points["variant"].map(stem)
    points["signed"] = points["variant"].map(sides).eq(2).astype(float)
    factor = points["l0"] / points["true_l0"]
    chosen = {"all": points, "near": points[(factor <= NEAR) & (factor >= 1 / NEAR)]}
    chosen |= {f"at L0 {l0:g}": _read_at(points, sweep, l0) for l0 in levels}
    for model, recipe in points[["model", "recipe"]].drop_duplicates().itertuples(index=False):
        for name, among in chosen.items():
            here = among[(among["model"] == model) & (among["recipe"] == recipe)]
            row = {"model": model, "recipe": recipe, "points_from": name}
            for truth, visible in product(TRUE, VISIBLE):
                if {truth, visible} <= {*here}:
                    row |= {"truth": truth, "visible": visible}
                    yield from (row | found for found in _correlations(here, truth, visible))


def _read_at(points: pd.DataFrame, sweep: list[str], l0: float) -> pd.DataFrame:
    """Each sweep at an L0 that its points enclose: numbers are linear in log L0 between them."""
    rows = []
    for _, of_sweep in points.groupby(sweep):
        logs = np.log(of_sweep["l0"].to_numpy(float))
        if logs[0] <= math.log(l0) <= logs[-1]:
            read = {
                name: np.interp(math.log(l0), logs, of_sweep[name].astype(float))
                for name in (*VISIBLE, *TRUTH)
                if name in of_sweep
            }
            rows.append(of_sweep.iloc[0].to_dict() | read | {"level": 0, "l0": l0})
    return pd.DataFrame(rows, columns=points.columns)


def _correlations(points: pd.DataFrame, truth: str, visible: str) -> Iterator[dict[str, Any]]:
    """Those of two numbers over points of all widths and of each, plain and partial."""
    known = points[points[[truth, visible]].notna().all(axis=1)]
    for width in (None, *sorted(known["width"].unique())):
        here = known if width is None else known[known["width"] == width]
        rank: Floats = np.asarray(here["l0"].rank(), np.float64)
        given: dict[str, list[Floats]] = (
            {"L0": [rank]} if here["l0"].nunique() > 1 and visible != "l0" else {}
        )
        if here["width"].nunique() > 1:
            given["width"] = list(
                pd.get_dummies(here["width"], dtype=float).iloc[:, 1:].to_numpy().T
            )
        if here["signed"].nunique() > 1 and visible != "bipolar_fraction":
            given["signed"] = [here["signed"].to_numpy(float)]
        cells = list(here[["family", "width", "level"]].itertuples(index=False, name=None))
        x, y = (here[name].to_numpy(float) for name in (visible, truth))
        for names in ([], list(given)) if given else ([],):
            found = rank_correlation(x, y, cells, [x for name in names for x in given[name]])
            if found.value is not None:
                row = {"width": width, "given": ", ".join(names), "n": len(here)}
                yield row | {"correlation": found.value, "low": found.low, "high": found.high}
