"""Parts of one panel of a figure: curves, overlap bands, axes, annotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pipeline.cell import lambda_tag

BAND = "#B8B8B8"
CROSS: dict[str, Any] = {
    "marker": "x",
    "color": "black",
    "markersize": 9,
    "markeredgewidth": 1.3,
    "ls": "none",
}
"""Marker laid over a collapsed point."""

Box = tuple[float, float, float, float]
"""Left, bottom, right and top in pixels."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """How one variant at one width (in multiples of d, so over all models) is drawn."""

    label: str
    colour: str
    marker: str
    line: str


def bands(panel: Axes, overlaps: pd.DataFrame) -> None:
    """Shade the L0 range of each comparison."""
    for low, high in overlaps[["overlap_lo", "overlap_hi"]].dropna().to_numpy():
        panel.axvspan(low, high, color=BAND, alpha=0.22, lw=0, zorder=0)
        for end in (low, high):
            panel.axvline(end, color=BAND, lw=0.7, zorder=0)


def curve(panel: Axes, points: pd.DataFrame, metric: str, style: Series) -> None:
    """Line through the points in order of L0, error bars, and one marker a point."""
    shown = points[(points["l0"] > 0) & points[metric].notna()].sort_values(["l0", "lam"])
    if shown.empty:
        return
    panel.plot(shown["l0"], shown[metric], color=style.colour, ls=style.line, zorder=2)
    panel.errorbar(
        shown["l0"],
        shown[metric],
        xerr=shown["l0_se"].fillna(0),
        yerr=shown[f"{metric}_se"].fillna(0),
        fmt="none",
        ecolor=style.colour,
        elinewidth=0.8,
        capsize=1.5 if shown["l0_se"].notna().any() else 0,
        zorder=2,
    )
    for row in shown.to_dict("records"):
        hollow = metric == "loss_recovered" and row["lr_noisy"]
        face = "white" if hollow else style.colour
        panel.plot(
            row["l0"],
            row[metric],
            marker=style.marker,
            markerfacecolor=face,
            markeredgecolor=style.colour,
            ls="none",
            zorder=3,
        )
        if row["collapsed"]:
            panel.plot(row["l0"], row[metric], **CROSS, zorder=4)


def dress(panel: Axes, points: pd.DataFrame, metric: str, title: str) -> None:
    """Axes of one panel, and in its title a note on points that a log axis cannot hold."""
    panel.set_xscale("log")
    panel.margins(x=0.08, y=0.14)
    low, high = panel.get_xlim()
    steps = (1, 1.5, 2, 3, 4, 5, 7) if high < 6 * low else (1, 2, 5) if high < 60 * low else (1,)
    panel.xaxis.set_major_locator(LogLocator(subs=steps))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.grid(True, color="#E6E6E6", lw=0.5, zorder=0)
    panel.set_axisbelow(True)
    silent = int((points["l0"] == 0).sum())
    note = f"\n{silent} at L0 = 0, off the log axis" if silent else ""
    if not (points[metric].notna() & (points["l0"] > 0)).any():
        note += "\nnothing to draw"
    panel.set_title(title + note)


def honest_zero(panel: Axes, points: pd.DataFrame) -> None:
    """A dead-fraction axis on which 0 is a place: linear below one latent, logarithmic above."""
    dead, one = points["dead_fraction"], 1 / points["width"].max()
    if dead.max() > 0:
        panel.set_yscale("symlog", linthresh=one, linscale=0.4)
        decades = [10.0**k for k in range(-8, 1) if 10.0**k >= one]
        panel.set_yticks([0, *decades])
        panel.set_yticks([], minor=True)
        panel.set_ylim(-0.35 * one, max(1.5 * dead.max(), 10 * one))
    else:
        panel.set_ylim(-0.04, 1)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def lambdas(panel: Axes, points: pd.DataFrame, metric: str) -> None:
    """Write each point's lambda above or below it, where neither text nor marker is covered."""
    shown = points[(points["l0"] > 0) & points[metric].notna()].sort_values(
        ["l0", "lam", "variant"]
    )
    scale = panel.figure.dpi / 72
    centres = [panel.transData.transform((r["l0"], r[metric])) for r in shown.to_dict("records")]
    taken = [(x - 4 * scale, y - 4 * scale, x + 4 * scale, y + 4 * scale) for x, y in centres]
    for row, (x, y) in zip(shown.to_dict("records"), centres, strict=True):
        text = lambda_tag(row["lam"])
        half = 1.7 * len(text) * scale
        for up in (True, False):
            low = y + (5 if up else -11) * scale
            box = (x - half, low, x + half, low + 6 * scale)
            if not any(_meet(box, other) for other in taken) and panel.bbox.contains(x, low):
                taken.append(box)
                panel.annotate(
                    text,
                    (row["l0"], row[metric]),
                    xytext=(0, 5 if up else -5),
                    textcoords="offset points",
                    ha="center",
                    va="bottom" if up else "top",
                    fontsize=5.5,
                    color="#444444",
                )
                break


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
