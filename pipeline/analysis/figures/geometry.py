"""Figures 6 and 7: directions learned on a plane, and the activations of one latent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.figure import figure, no_language_model
from pipeline.analysis.figures import mpl
from pipeline.analysis.figures.shown import Drawn, Look, Shown, legend_of
from pipeline.analysis.numbers import variant_label
from pipeline.analysis.tables.synthetic import BY_PROTOCOL, RUNS

Rows = list[dict[str, Any]]
TRUTH, POSITIVE = "#0072B2", "z > 0"
# How the two sides of a latent are drawn.
LOOKS: dict[str, dict[str, Any]] = {
    POSITIVE: {"color": "#D55E00", "lw": 2, "ls": "-"},
    "z < 0": {"color": "#E69F00", "lw": 2, "ls": "--"},
}
# A side that fires on less of a latent's firings than this is not drawn.
RARE = 0.001


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


@figure([BY_PROTOCOL["geometry"]], when=no_language_model, measures=RUNS, all_recipes=True)
def figure_6(study: Shown) -> Drawn:
    """Protocol C on a plane.

    The dots are features in opposite pairs, the lines the latents that a variant spends on them. A
    latent with two lines serves both poles of a pair.
    """
    rows = chosen(study.protocol("geometry"), study.runs)
    drawing = mpl.figure.Figure(figsize=(1.75 * len(rows), 2.9), layout="constrained")
    drawn = []
    for panel, row in zip(drawing.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
        table = directions(row)
        panel.add_patch(mpl.patches.Circle((0, 0), 1, fill=False, color="#B8B8B8", lw=0.7))
        truth = table[table["kind"] == "true direction"]
        panel.plot(truth["x"], truth["y"], "o", color=TRUTH, markersize=6, zorder=3)
        for kind, look in LOOKS.items():
            for one in table[table["kind"] == kind].to_dict("records"):
                x, y = one["x"], one["y"]
                panel.plot([0, x], [0, y], **look, zorder=2)
                name = f"{one['latent']:.0f}" if kind == POSITIVE else ""
                panel.text(1.17 * x, 1.17 * y, name, ha="center", va="center")
        metrics = row["metrics"]
        panel.set_title(
            f"{variant_label(row['variant'])}, {width_label(row['multiple'])}\n"
            f"R2 {metrics['r2']:.3f}\n{metrics['pcr']:.0%} consolidated"
        )
        panel.set(aspect="equal", xlim=(-1.25, 1.25), ylim=(-1.25, 1.25))
        panel.set_axis_off()
        drawn.append(table.assign(**_named(row))[[*_named(row), *table]])
    keys: dict[str, Look] = {"true direction": {"marker": "o", "ls": "none", "color": TRUTH}}
    keys |= {f"{kind} of a latent": look for kind, look in LOOKS.items()}
    drawing.legend(handles=legend_of(keys), loc="outside lower center", ncols=3, frameon=False)
    return drawing, pd.concat(drawn, ignore_index=True)


def _named(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("variant", "width", "lam", "seed")}


def directions(row: dict[str, Any]) -> pd.DataFrame:
    """The true directions of a run on the plane, and those of each side of each latent."""
    pairs = int(row["setting"].partition("=")[2])
    angles = np.arange(2 * pairs) * np.pi / pairs
    points: Rows = [
        {"kind": "true direction", "x": float(np.cos(a)), "y": float(np.sin(a))} for a in angles
    ]
    for latent, ((x, y), counts) in enumerate(zip(row["decoder"], row["fires"], strict=True)):
        for kind, sign, fires in zip(LOOKS, (1, -1), counts, strict=True):
            if fires > RARE * sum(counts):
                point = {"kind": kind, "latent": latent, "x": sign * x, "y": sign * y}
                points.append(point | {"fires": fires})
    return pd.DataFrame(points, columns=["kind", "x", "y", "latent", "fires"])


@figure([BY_PROTOCOL["consolidation"]], when=no_language_model, measures=RUNS, all_recipes=True)
def figure_7(study: Shown) -> Drawn:
    """Activations of one latent.

    The bars count the activations of a latent that serves both poles of a pair. Its two lobes stand
    on either side of the dead zone.
    """
    table = study.protocol("consolidation")
    rows = [row for row in chosen(table, study.runs) if row.get("histogram")]
    if not rows:
        raise ValueError("no latent serves both poles of a pair, so there is no histogram to draw")
    row = rows[-1]
    found = row["histogram"]
    edges = np.linspace(-found["edge"], found["edge"], len(found["counts"]) + 1)
    drawing = mpl.figure.Figure(figsize=(3.5, 2.4), layout="constrained")
    panel = drawing.subplots()
    above, below = (look["color"] for look in LOOKS.values())
    colours = np.where(edges[:-1] >= 0, above, below)
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
    return drawing, pd.DataFrame(bins).assign(**_named(row), **known)
