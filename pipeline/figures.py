"""One metric against log L0 for a whole study: PNG, SVG, and a CSV of what is drawn.

    python -m pipeline.figures --spec JSON --points points.csv --comparison comparison.csv \
        --metric r2 --out figures/r2.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pipeline.cell import lambda_tag
from pipeline.metrics import ComparisonSpec, spec_argument
from pipeline.panels import BAND, CROSS, Series, bands, curve, dress, honest_zero, lambdas
from pipeline.stage import run_stage
from pipeline.study import FIGURES
from pipeline.wording import read_table, variant_label
from sagsae.files import whole_file

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe-Ito without its yellow, which vanishes on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "h", "<", ">")
LINES = ("-", "--", "-.", ":")
DPI = 200
STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "svg.hashsalt": "sagsae",
}
NAMED_AT_MOST = 6
"""Collapsed points that the legend names; the rest are counted and stand in the tables."""


def with_series(points: pd.DataFrame, spec: ComparisonSpec) -> pd.DataFrame:
    """Adds ``series``, the label of the line that a point belongs to.

    A width that every model has is one line; widths that grow with d_model are one line too,
    labelled with the widths of all models.
    """
    models = points.groupby(["variant", "width"])["model"].transform("nunique")
    shared = models == points["model"].nunique()
    multiple = (points["width"] / points["model"].map(spec.models)).where(~shared, points["width"])
    widths = points.groupby(["variant", shared, multiple], sort=False)["width"].transform(
        lambda group: " / ".join(str(width) for width in sorted(set(group)))
    )
    return points.assign(series=points["variant"].map(variant_label) + ", H = " + widths)


def styles(points: pd.DataFrame) -> dict[str, Series]:
    """Series label -> style. The same study gives the same style in every figure."""
    first = points.sort_values(["variant", "width"]).drop_duplicates("series")
    return {
        label: Series(
            label=label,
            colour=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            line=LINES[i % len(LINES)],
        )
        for i, label in enumerate(first["series"])
    }


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


def draw(points: pd.DataFrame, overlaps: pd.DataFrame, metric: str, spec: ComparisonSpec) -> Figure:
    """The grid of panels: a row a model, a column a hookpoint."""
    rows, columns = len(spec.models), len(spec.hookpoints)
    series = styles(points)
    legend = _legend(points, overlaps, metric, series)
    across = 2 if columns > 2 else 1
    below = 0.2 * -(-len(legend) // across) + 0.12
    size = (max(3.5, 2.45 * columns), 2.05 * rows + below + 0.3)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.subplots(
        rows, columns, squeeze=False, sharey="all" if metric == "dead_fraction" else "none"
    )
    for i, model in enumerate(spec.models):
        for j, hookpoint in enumerate(spec.hookpoints):
            here, panel = _at(points, model, hookpoint), axes[i, j]
            bands(panel, _at(overlaps, model, hookpoint))
            for label, style in series.items():
                curve(panel, here[here["series"] == label], metric, style)
            dress(panel, here, metric, f"{model}, {hookpoint}")
            if j == 0:
                panel.set_ylabel(FIGURES[metric])
            if i == rows - 1:
                panel.set_xlabel("L0 (active latents per token)")
    if metric == "dead_fraction":
        honest_zero(axes[0, 0], points)
    figure.legend(handles=legend, loc="outside lower center", ncols=across, frameon=False)
    figure.canvas.draw()
    for i, model in enumerate(spec.models):
        for j, hookpoint in enumerate(spec.hookpoints):
            lambdas(axes[i, j], _at(points, model, hookpoint), metric)
    return figure


def _at(table: pd.DataFrame, model: str, hookpoint: str) -> pd.DataFrame:
    return table[(table["model"] == model) & (table["hookpoint"] == hookpoint)]


def _legend(
    points: pd.DataFrame,
    overlaps: pd.DataFrame,
    metric: str,
    series: dict[str, Series],
) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=s.colour, marker=s.marker, ls=s.line, label=s.label)
        for s in series.values()
    ]
    if overlaps["overlap_lo"].notna().any():
        many = "s" if overlaps["comparison"].nunique() > 1 else ""
        handles.append(Patch(color=BAND, alpha=0.4, label=f"L0 overlap of the comparison{many}"))
    handles.append(
        Line2D(
            [], [], ls="none", marker="$0.1$", markersize=9, color="#444444", label="λ of a point"
        )
    )
    if metric == "loss_recovered" and points["lr_noisy"].any():
        hollow = Line2D([], [], ls="none", marker="o", color="black", markerfacecolor="white")
        hollow.set_label("hollow: noise, the ablation costs too little")
        handles.append(hollow)
    fallen = points[points["collapsed"] != ""]
    names = [
        f"collapsed: {variant_label(row['variant'])} {row['width']}, λ {lambda_tag(row['lam'])}, "
        f"{row['model']} {row['hookpoint']}"
        for row in fallen.to_dict("records")
    ]
    if len(names) > NAMED_AT_MOST:
        names[NAMED_AT_MOST:] = [f"and {len(names) - NAMED_AT_MOST} more collapsed, see cells.csv"]
    return handles + [Line2D([], [], **CROSS | {"markersize": 6}, label=name) for name in names]


def write(figure: Figure, table: pd.DataFrame, out: Path) -> None:
    """Write ``out`` (.png) and its .svg and .csv beside it. The same input gives the same bytes."""
    with whole_file(out) as partial:
        figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})
    with whole_file(out.with_suffix(".svg")) as partial:
        figure.savefig(partial, format="svg", metadata={"Date": None})
    with whole_file(out.with_suffix(".csv")) as partial:
        table.to_csv(partial, index=False)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.figures")
    spec_argument(parser)
    parser.add_argument("--points", required=True, type=Path, help="points.csv")
    parser.add_argument("--comparison", required=True, type=Path, help="comparison.csv")
    parser.add_argument("--metric", required=True, choices=list(FIGURES))
    parser.add_argument("--out", required=True, type=Path, help="the .png; .svg and .csv beside it")
    options = parser.parse_args(arguments)
    points = read_table(options.points)
    points = with_series(points, options.spec)
    overlaps = read_table(options.comparison)
    with mpl.rc_context(STYLE):
        figure = draw(points, overlaps, options.metric, options.spec)
        write(figure, drawn(points, overlaps, options.metric), options.out)


if __name__ == "__main__":
    run_stage(main)
