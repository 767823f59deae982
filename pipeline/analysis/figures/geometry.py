"""Figures 6 and 7: directions learned on a plane, and the activations of one latent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.analysis.numbers import variant_label

Rows = list[dict[str, Any]]
TRUTH, SIDES = "#0072B2", ("#D55E00", "#E69F00")
"""Colours of the true directions, and of the positive and the negative side of a latent."""
RARE = 0.001
"""A side that fires on less of a latent's firings than this is not drawn."""


def width_label(multiple: float) -> str:
    """A width in latents for n pairs or axes."""
    return f"H = {'' if multiple == 1 else f'{multiple:g}'}n"


def chosen(table: pd.DataFrame, runs: Rows) -> Rows:
    """The rows of the first seed at the operating points of the table."""
    keys = ["setting", "variant", "multiple", "lam"]
    picked = set(table.loc[table["picked"], keys].itertuples(index=False, name=None))
    seed = min(row["seed"] for row in runs)
    found = [row for row in runs if row["seed"] == seed]
    return [row for row in found if tuple(row[key] for key in keys) in picked]


def figure_6(study: Shown) -> Drawn:
    """Protocol C on a plane.

    Features in opposite pairs, and the latents that each variant spends on them.
    """
    table = study.protocol("geometry")
    rows = chosen(table, study.runs)
    figure = Figure(figsize=(1.75 * len(rows), 2.9), layout="constrained")
    drawn = []
    for panel, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
        drawn += _truth(panel, row) + _latents(panel, row)
        metrics = row["metrics"]
        panel.set_title(
            f"{variant_label(row['variant'])}, {width_label(row['multiple'])}\n"
            f"R2 {metrics['r2']:.3f}\n{metrics['pcr']:.0%} consolidated"
        )
        panel.set(aspect="equal", xlim=(-1.25, 1.25), ylim=(-1.25, 1.25))
        panel.set_axis_off()
    handles = [
        Line2D([], [], marker="o", ls="none", color=TRUTH, label="true direction"),
        Line2D([], [], color=SIDES[0], lw=2, label="z > 0 of a latent"),
        Line2D([], [], color=SIDES[1], lw=2, ls="--", label="z < 0 of a latent"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure, pd.DataFrame(drawn)


def _named(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("variant", "width", "lam", "seed")}


def _truth(panel: Axes, row: dict[str, Any]) -> Rows:
    pairs = int(row["setting"].partition("=")[2])
    angles = np.arange(2 * pairs) * np.pi / pairs
    panel.add_patch(Circle((0, 0), 1, fill=False, color="#B8B8B8", lw=0.7))
    panel.plot(np.cos(angles), np.sin(angles), "o", color=TRUTH, markersize=6, zorder=3)
    points = [{"x": float(np.cos(a)), "y": float(np.sin(a))} for a in angles]
    return [_named(row) | {"kind": "true direction", **point} for point in points]


def _latents(panel: Axes, row: dict[str, Any]) -> Rows:
    drawn: Rows = []
    for latent, (direction, counts) in enumerate(zip(row["decoder"], row["fires"], strict=True)):
        for side, sign in enumerate((1, -1)):
            if counts[side] <= RARE * sum(counts):
                continue
            x, y = (sign * part for part in direction)
            dashed = "--" if side else "-"
            panel.plot([0, x], [0, y], color=SIDES[side], lw=2, ls=dashed, zorder=2)
            if not side:
                panel.annotate(str(latent), (1.17 * x, 1.17 * y), ha="center", va="center")
            kind = "z < 0" if side else "z > 0"
            point = {"kind": kind, "latent": latent, "x": x, "y": y, "fires": counts[side]}
            drawn.append(_named(row) | point)
    return drawn


def figure_7(study: Shown) -> Drawn:
    """Activations of one latent.

    A latent that serves both poles of a pair: two lobes and the dead zone between them.
    """
    table = study.protocol("consolidation")
    rows = [row for row in chosen(table, study.runs) if row.get("histogram")]
    if not rows:
        raise ValueError("no latent serves both poles of a pair, so there is no histogram to draw")
    row = rows[-1]
    found = row["histogram"]
    edges = np.linspace(-found["edge"], found["edge"], len(found["counts"]) + 1)
    figure = Figure(figsize=(3.5, 2.4), layout="constrained")
    panel = figure.subplots()
    colours = [SIDES[0] if left >= 0 else SIDES[1] for left in edges[:-1]]
    panel.bar(edges[:-1], found["counts"], np.diff(edges), align="edge", color=colours)
    up, down = found["least"]
    panel.axvspan(down, up, color="#B8B8B8", alpha=0.3, lw=0)
    top = max(found["counts"])
    total = found["silent"] + found["outside"] + sum(found["counts"])
    silent = f"dead zone\nz = 0 on\n{found['silent'] / total:.1%}"
    panel.text((up + down) / 2, 0.62 * top, silent, ha="center", va="center", fontsize=7)
    panel.set(xlabel="activation z, in units of the data", ylabel="samples")
    panel.set_title(f"{variant_label(row['variant'])}, latent {found['latent']}, {row['setting']}")
    bins = {"low": edges[:-1], "high": edges[1:], "count": found["counts"]}
    known = {"latent": found["latent"], "silent": found["silent"], "outside": found["outside"]}
    return figure, pd.DataFrame(bins).assign(**_named(row), **known)
