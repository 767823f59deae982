"""Figures 2, 3 and R2: one metric against log L0, a panel per model and hookpoint."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pipeline.analysis.figures.panels import (
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
    panels_of,
)
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.analysis.numbers import variant_label
from pipeline.study.cell import KNOBS, knob_of
from pipeline.study.outputs import POINTS
from pipeline.study.scope import SWEPT

NAMED_AT_MOST = 6
"""Collapsed points that the legend names; the rest are counted and stand in the tables."""
ANNOTATED_AT_MOST = 2
"""Series of a figure whose points carry their lambda and whose curves carry their names."""


def figure_2(shown: Shown) -> Drawn:
    """Dead fraction against L0.

    Share of latents that never fire on the held-out tokens. Lower is better. Zero is drawn at zero:
    below one latent the axis is linear, above it logarithmic. Where one line lies below the other,
    that variant keeps more of its latents in use at the same L0.
    """
    return against_l0(shown, "dead_fraction")


def figure_3(shown: Shown) -> Drawn:
    """Loss Recovered against L0.

    Share of the next-token loss that the spliced reconstruction wins back from zero ablation.
    Higher is better; 1 is the untouched model. Hollow points: ablating this hookpoint costs the
    model so little that the ratio is noise. Where one line lies above the other, that variant keeps
    more of what the model does at the same L0.
    """
    return against_l0(shown, "loss_recovered")


def figure_r2(shown: Shown) -> Drawn:
    """R2 against L0.

    Share of the variance of held-out activations that the autoencoder explains, against the mean
    number of active latents per token. Higher and further left is better. A line that lies above
    the other over the whole shaded range strictly dominates it. Lines that cross mean that the
    answer depends on L0.
    """
    return against_l0(shown, "r2")


def against_l0(shown: Shown, metric: str) -> Drawn:
    """A metric of ``SWEPT`` against log L0."""
    points, overlaps = shown.rows(POINTS), shown.overlaps
    drawn = set(points["series"])
    series = {label: style for label, style in shown.series.items() if label in drawn}
    annotated = len(series) <= ANNOTATED_AT_MOST
    legend = _legend(points, overlaps, metric, series, annotated)
    labels = "L0 (active latents per token)", SWEPT[metric]
    dead = metric == "dead_fraction"
    figure, panels = panels_of(shown.placed, 1.95, legend, labels, sharey=dead)
    for (model, hookpoint), panel in panels.items():
        here = at(points, model, hookpoint)
        bands(panel, at(overlaps, model, hookpoint))
        for label, style in series.items():
            curve(panel, here[here["series"] == label], metric, style)
        dress(panel, here, metric, f"{model}, {hookpoint}")
    if dead:
        honest_zero(figure.axes[0], points)
    if annotated:
        figure.canvas.draw()
        for place, panel in panels.items():
            first = panel is figure.axes[0]
            _annotate(panel, at(points, *place), metric, series, named=first)
    return figure, numbers(points, overlaps, metric)


def numbers(points: pd.DataFrame, overlaps: pd.DataFrame, metric: str) -> pd.DataFrame:
    """What the figure shows, a row per point (``kind`` point) and per band (``kind`` overlap)."""
    marks = points.assign(
        kind="point",
        value=points[metric],
        value_se=points[f"{metric}_se"],
        hollow=points["lr_noisy"] & (metric == "loss_recovered"),
    )
    columns = ["kind", "recipe", "model", "hookpoint", "series", "variant", "width"]
    columns += [name for name in KNOBS if name in points] + ["seeds"]
    marks = marks[[*columns, "l0", "l0_se", "value", "value_se", "hollow", "collapsed"]]
    ends = ["overlap_lo", "overlap_hi"]
    spans = overlaps[["recipe", "model", "hookpoint", "comparison", *ends]].dropna()
    return pd.concat([marks, spans.assign(kind="overlap")], ignore_index=True)


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
        tag.set_label("λ of a point" if points["lam"].notna().all() else "λ or k of a point")
        handles.append(tag)
    if metric == "loss_recovered" and points["lr_noisy"].any():
        hollow = Line2D([], [], ls="none", marker="o", color="black", markerfacecolor="white")
        hollow.set_label("hollow: noise, the ablation costs too little")
        handles.append(hollow)
    return handles + _fallen(points)


def _fallen(points: pd.DataFrame) -> list[Line2D]:
    fallen = points[points["collapsed"] != ""]
    names = [
        f"collapsed: {variant_label(row['variant'])} {row['width']}, {knob_of(row)}, "
        f"{row['model']} {row['hookpoint']}"
        for row in fallen.to_dict("records")
    ]
    if len(names) > NAMED_AT_MOST:
        names = [f"collapsed ({len(names)} points, named in cells.csv)"]
    return [Line2D([], [], **CROSS | {"markersize": 6}, label=name) for name in names]
