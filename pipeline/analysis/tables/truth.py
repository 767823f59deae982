"""visible.csv: which number that can be seen without a truth predicts what is true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.analysis.columns import Column, text
from pipeline.analysis.csv_files import read_table
from pipeline.analysis.table import Source, Table
from pipeline.analysis.tables.cells import CELLS
from pipeline.analysis.tables.signs import CONSISTENCY
from pipeline.study.cell import KNOBS, SweepKey
from pipeline.study.measures import Measures
from pipeline.study.metrics import TRUTH
from sagsae.comparison.intervals import rank_correlation

# What can be seen -> its name in words.
VISIBLE = {
    "r2": "R2",
    "alive": "Share of live latents",
    "bipolar_fraction": "Share of live latents that fire with both signs",
    "consistency": "Seed consistency, one-to-one",
    "l0": "L0",
}
# A point is near the true L0 if the larger of both is at most so many times the smaller.
NEAR = 1.5


def _open(known: Measures, root: Path) -> dict[str, Any]:
    """``points``: means over seeds of what was measured of the cells."""
    scope, cells = known.scope, read_table(root / CELLS.path)
    knobs = [name for name in KNOBS if name in cells]
    names = [*SweepKey._fields, *knobs]
    sound = cells[cells["collapsed"] == ""].assign(alive=1 - cells["dead_fraction"])
    kept = [name for name in (*VISIBLE, *TRUTH) if name in sound]
    points = sound.groupby(names, dropna=False)[kept].mean().reset_index()
    if CONSISTENCY.is_of(scope):
        agreed = read_table(root / CONSISTENCY.path).filter([*names, "assigned"])
        points = points.merge(agreed.rename(columns={"assigned": "consistency"}), "left", names)
    return {"points": points}


VISIBLE_NUMBERS = Table(
    "visible",
    "Which visible number predicts truth",
    reads="Rank correlation over points, means over seeds, with its 95 % interval. Near: points "
    "whose L0 is within a factor of 1.5 of the true one.",
    header="model truth visible points_from n correlation low high",
    by=["model truth"],
    columns=[
        text("visible", "Visible number", lambda name: VISIBLE[name]),
        text("points_from", "Points"),
        Column("n"),
        "correlation low high",
    ],
    texts="truth",
)


@VISIBLE_NUMBERS.made_from(
    Source("truth", _open, lambda scope: scope.truth, tables=(CELLS, CONSISTENCY))
)
def visible_table(points: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """One row per (model, true number, visible number, points).

    Columns:
        truth: f1 or mcc, see ``sagsae.judged``
        points_from: all, or near: those whose L0 is near the mean number of features in a row
        n: how many points have both numbers
        correlation, low, high: Spearman's, and its 95 % interval, see
            ``sagsae.comparison.intervals``; empty for fewer than five points. Points of one family
            are alike, which the interval does not know.
    """
    factor = points["l0"] / points["true_l0"]
    near = points[(factor <= NEAR) & (factor >= 1 / NEAR)]
    for model in points["model"].unique():
        for truth in ("f1", "mcc"):
            for visible in (name for name in VISIBLE if name in points):
                for name, among in {"all": points, "near": near}.items():
                    pairs = among.loc[among["model"] == model, [visible, truth]].dropna()
                    found = rank_correlation(*(pairs[column].to_numpy(float) for column in pairs))
                    row = {"model": model, "truth": truth, "visible": visible}
                    row |= {"points_from": name, "n": len(pairs)}
                    yield row | {"correlation": found.value, "low": found.low, "high": found.high}
