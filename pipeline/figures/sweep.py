"""One metric against log L0: a row of panels a model, a column a hookpoint."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pipeline.config.spelling import lambda_tag
from pipeline.figures.panels import (
    BAND,
    CROSS,
    Notes,
    Series,
    at,
    bands,
    curve,
    drawable,
    dress,
    honest_zero,
)
from pipeline.study.comparison_spec import SWEPT, ComparisonSpec
from pipeline.text.numbers import variant_label

NAMED_AT_MOST = 6
"""Collapsed points that the legend names; the rest are counted and stand in the tables."""
ANNOTATED_AT_MOST = 2
"""Series of a figure whose points carry their lambda and whose curves carry their names."""


def drawn(points: pd.DataFrame, overlaps: pd.DataFrame, metric: str) -> pd.DataFrame:
    """What the figure shows, a row a point (``kind`` point) and a row a band (``kind`` overlap)."""
    marks = points.assign(
        kind="point",
        value=points[metric],
        value_se=points[f"{metric}_se"],
        hollow=points["lr_noisy"] & (metric == "loss_recovered"),
    )
    columns = ["kind", "model", "hookpoint", "series", "variant", "width", "lam", "seeds"]
    marks = marks[[*columns, "l0", "l0_se", "value", "value_se", "hollow", "collapsed"]]
    spans = overlaps[["model", "hookpoint", "comparison", "overlap_lo", "overlap_hi"]].dropna()
    return pd.concat([marks, spans.assign(kind="overlap")], ignore_index=True)


def draw(
    points: pd.DataFrame,
    overlaps: pd.DataFrame,
    metric: str,
    spec: ComparisonSpec,
    series: dict[str, Series],
) -> Figure:
    """The figure of some points; ``overlaps`` are the bands, ``series`` how lines look."""
    rows, columns = len(spec.models), len(spec.hookpoints)
    series = {label: style for label, style in series.items() if label in set(points["series"])}
    annotated = len(series) <= ANNOTATED_AT_MOST
    legend = _legend(points, overlaps, metric, series, annotated)
    across = 2 if columns > 2 else 1
    below = 0.19 * -(-len(legend) // across) + 0.12
    size = (max(3.5, 2.25 * columns), 1.95 * rows + below + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(
        rows, columns, squeeze=False, sharey="all" if metric == "dead_fraction" else "none"
    )
    for i, model in enumerate(spec.models):
        for j, hookpoint in enumerate(spec.hookpoints):
            here, panel = at(points, model, hookpoint), axes[i, j]
            bands(panel, at(overlaps, model, hookpoint))
            for label, style in series.items():
                curve(panel, here[here["series"] == label], metric, style)
            dress(panel, here, metric, f"{model}, {hookpoint}")
            if j == 0:
                panel.set_ylabel(SWEPT[metric])
            if i == rows - 1:
                panel.set_xlabel("L0 (active latents per token)")
    if metric == "dead_fraction":
        honest_zero(axes[0, 0], points)
    figure.legend(handles=legend, loc="outside lower center", ncols=across, frameon=False)
    if annotated:
        figure.canvas.draw()
        for i, model in enumerate(spec.models):
            for j, hookpoint in enumerate(spec.hookpoints):
                _annotate(
                    axes[i, j], at(points, model, hookpoint), metric, series, named=i + j == 0
                )
    return figure


def _annotate(
    panel: Axes, points: pd.DataFrame, metric: str, series: dict[str, Series], named: bool
) -> None:
    """The lambda of each point, and in one panel the name of each curve."""
    shown, notes = drawable(points, metric), Notes(panel)
    notes.occupy(shown, metric)
    notes.lambdas(shown, metric)
    if named:
        curves = {label: shown[shown["series"] == label] for label in series}
        for line in curves.values():
            notes.occupy_line(line, metric)
        for label, line in curves.items():
            notes.name_curve(line, metric, series[label])


def _legend(
    points: pd.DataFrame,
    overlaps: pd.DataFrame,
    metric: str,
    series: dict[str, Series],
    annotated: bool,
) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=s.colour, marker=s.marker, ls=s.line, label=s.label)
        for s in series.values()
    ]
    if overlaps["overlap_lo"].notna().any():
        many = "s" if overlaps["comparison"].nunique() > 1 else ""
        handles.append(Patch(color=BAND, alpha=0.4, label=f"L0 overlap of the comparison{many}"))
    if annotated:
        tag = Line2D([], [], ls="none", marker="$0.1$", markersize=9, color="#444444")
        tag.set_label("λ of a point")
        handles.append(tag)
    if metric == "loss_recovered" and points["lr_noisy"].any():
        hollow = Line2D([], [], ls="none", marker="o", color="black", markerfacecolor="white")
        hollow.set_label("hollow: noise, the ablation costs too little")
        handles.append(hollow)
    return handles + _fallen(points)


def _fallen(points: pd.DataFrame) -> list[Line2D]:
    fallen = points[points["collapsed"] != ""]
    names = [
        f"collapsed: {variant_label(row['variant'])} {row['width']}, λ {lambda_tag(row['lam'])}, "
        f"{row['model']} {row['hookpoint']}"
        for row in fallen.to_dict("records")
    ]
    if len(names) > NAMED_AT_MOST:
        names = [f"collapsed ({len(names)} points, named in cells.csv)"]
    return [Line2D([], [], **CROSS | {"markersize": 6}, label=name) for name in names]
