"""Which sweeps of several models are one series, and what it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.analysis.numbers import variant_label
from pipeline.study.scope import Scope

if TYPE_CHECKING:
    import pandas as pd


def with_series(points: pd.DataFrame, spec: Scope) -> pd.DataFrame:
    """Adds ``series``, the label of what a row belongs to: in figures, of its line.

    A width that every model has is one series; widths that grow with d_model are one series too,
    labelled with the widths of all models.
    """
    models = points.groupby(["variant", "width"])["model"].transform("nunique")
    shared = models == points["model"].nunique()
    multiple = (points["width"] / points["model"].map(spec.models)).where(~shared, points["width"])
    widths = points.groupby(["variant", shared, multiple], sort=False)["width"].transform(
        lambda group: " / ".join(str(width) for width in sorted(set(group)))
    )
    return points.assign(series=points["variant"].map(variant_label) + ", H = " + widths)
