"""Figures 2, 3 and R2: one metric against log L0, a panel per model and hookpoint."""

from __future__ import annotations

import pandas as pd

from pipeline.analysis.figure import figure, of_sweeps
from pipeline.analysis.figures import mpl, panels
from pipeline.analysis.figures.shown import Drawn, Shown, legend_of
from pipeline.analysis.tables.cells import POINTS
from pipeline.analysis.tables.comparison import COMPARISON
from pipeline.study.cell import KNOBS
from pipeline.study.scope import SWEPT


@figure([POINTS, COMPARISON], when=of_sweeps, of_many=True)
def figure_r2(shown: Shown) -> Drawn:
    """R2 against L0.

    A line shows the share of variance that a variant explains at each number of active latents.
    Within the shaded range the higher line is better.
    """
    return against_l0(shown, "r2")


@figure([POINTS, COMPARISON], when=of_sweeps, of_many=True)
def figure_2(shown: Shown) -> Drawn:
    """Dead fraction against L0.

    A line shows the share of latents that never fire on held-out tokens. Within the shaded range
    the lower line is better.
    """
    return against_l0(shown, "dead_fraction")


@figure([POINTS, COMPARISON], when=of_sweeps)
def figure_3(shown: Shown) -> Drawn:
    """Loss Recovered against L0.

    A line shows the share of the next-token loss that the reconstruction wins back from zero
    ablation. Within the shaded range the higher line is better.
    """
    return against_l0(shown, "loss_recovered")


def against_l0(shown: Shown, metric: str) -> Drawn:
    """A metric of ``SWEPT`` against log L0. The numbers have a row per point and per band."""
    points = panels.marks(shown.rows(POINTS), metric)
    parts = [points.assign(kind="point"), shown.overlaps.assign(kind="overlap")]
    table = pd.concat(parts, ignore_index=True)
    series, dead = shown.lines(points), metric == "dead_fraction"
    legend = [*legend_of(series), *_legend(table)]
    drawing, drawn = panels.panels_of(
        shown.places, table, legend, (panels.L0, SWEPT[metric]), sharey=dead
    )
    for panel, rows in drawn:
        here = rows[rows["kind"] == "point"]
        for ends in rows[["overlap_lo", "overlap_hi"]].dropna().to_numpy():
            panel.axvspan(*ends, color=panels.BAND, alpha=0.22, zorder=0)
        panels.curves(panel, here, series)
        panels.dress(panel, here, shared_y=dead)
    if dead:
        _honest_zero(drawing.axes[0], points)
    columns = ["kind", "recipe", "model", "hookpoint", "series", "variant", "width", *KNOBS]
    columns += ["seeds", "l0", "l0_se", "value", "value_se", "collapsed"]
    columns += ["comparison", "overlap_lo", "overlap_hi"]
    return drawing, table.filter(columns)  # which has no k where no sweep has


def _honest_zero(panel: mpl.axes.Axes, points: pd.DataFrame) -> None:
    """A dead-fraction axis on which 0 is a place: linear below one latent, logarithmic above."""
    most, one = points["dead_fraction"].max(), 1 / points["width"].max()
    if most > 0:
        panel.set_yscale("symlog", linthresh=one, linscale=0.4)
        panel.set_yticks([0, *(10.0**k for k in range(-8, 1) if 10.0**k >= one)])
        panel.set_yticks([], minor=True)
        panel.set_ylim(-one, max(1.5 * most, 10 * one))
    else:
        panel.set_ylim(-0.04, 1)
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _legend(table: pd.DataFrame) -> list[mpl.lines.Line2D | mpl.patches.Patch]:
    """What is told besides the names of the series."""
    handles: list[mpl.lines.Line2D | mpl.patches.Patch] = []
    if (table["kind"] == "overlap").any():
        handles.append(
            mpl.patches.Patch(color=panels.BAND, alpha=0.4, label="L0 overlap of the comparison")
        )
    if fallen := int(table["collapsed"].fillna("").ne("")[table["kind"] == "point"].sum()):
        words = f"collapsed ({fallen}, named in points.csv)"
        handles.append(mpl.lines.Line2D([], [], **panels.CROSS | {"markersize": 6}, label=words))
    return handles
