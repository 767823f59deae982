"""Series of figures: which sweeps make one line, which lines a figure has, how each looks."""

from __future__ import annotations

import pandas as pd

from pipeline.analysis.figures.panels import Series
from pipeline.analysis.numbers import variant_label
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import looks

LINES = ("-", "--", ":", "-.")


def in_main_comparison(points: pd.DataFrame, spec: Scope) -> pd.Series:
    """Which rows belong to a side of the first comparison; all where there is none."""
    keys = zip(points["model"], points["variant"], points["width"], strict=True)
    return pd.Series([spec.in_main(*key) for key in keys], index=points.index, dtype=bool)


def styles(points: pd.DataFrame, spec: Scope) -> dict[str, Series]:
    """Series label -> style, for all series of a study, so that every figure of it agrees.

    Colour and marker say which variant, the line which of its widths: solid is the one that the
    main comparison has, which is also drawn heavier.
    """
    main = set(points.loc[in_main_comparison(points, spec), "series"])
    first = points.sort_values(["width", "variant"]).drop_duplicates("series")
    result = {}
    for variant, (colour, marker) in looks(first["variant"]).items():
        labels = first.loc[first["variant"] == variant, "series"]
        for i, label in enumerate(sorted(labels, key=lambda label: label not in main)):
            result[label] = Series(
                label=label,
                name=variant_label(variant),
                colour=colour,
                marker=marker,
                line=LINES[i % len(LINES)],
                weight=1.0 if label in main else 0.75,
            )
    return result
