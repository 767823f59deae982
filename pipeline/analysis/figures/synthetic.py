"""Figure 1, Bi-Jump-ReLU beside the one-sided gate, computed by the variants themselves; figures 4
to 10, the synthetic protocols. Points are means over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.analysis.figure import figure, no_language_model
from pipeline.analysis.figures import mpl, plot
from pipeline.analysis.figures.shown import Drawn, Look, Shown
from pipeline.analysis.numbers import LOOKS, NEGATIVE_COLOUR, POSITIVE_COLOUR, looks, variant_label
from pipeline.analysis.tables.synthetic import BY_PROTOCOL, RUNS
from sagsae.synthetic import TAU

if TYPE_CHECKING:
    import torch

Rows = list[dict[str, Any]]
# A variant, and its width in latents a pair or axis.
System = tuple[str, float]

THETA_POS, THETA_NEG = 0.6, 0.9
UNIT = {"W_enc": 1.0, "W_dec": 1.0}
# Variant -> the parameters it is drawn with. They only serve to tell the parts apart.
PARAMETERS = {
    "sagsae_sym": UNIT
    | {"theta_pos": THETA_POS, "theta_neg": THETA_NEG, "r": 0.1, "c_pos": 0.0, "c_neg": 0.2},
    "gated": UNIT | {"b_gate": -THETA_POS, "r_mag": 0.1, "b_mag": 0.0},
}
GATES: dict[str, Look] = {
    "sagsae_sym": {
        "label": "Bi-Jump-ReLU (sign-aware)",
        "color": LOOKS["sagsae_sym"].colour,
        "lw": 1.8,
    },
    "gated": {"label": "Jump-ReLU (gated)", "color": LOOKS["gated"].colour, "ls": "--", "lw": 1.2},
}


def code(variant: str, u: torch.Tensor) -> list[float]:
    """Codes [n] of one latent on one input coordinate, so that u [n] is its encoder product."""
    from sagsae.autoencoders.weights import build

    sae = build(variant, 1, 1)
    for name, value in PARAMETERS[variant].items():
        sae.params[name].fill_(value)
    return sae.code(u[:, None])[:, 0].tolist()


@figure(
    [],
    when=no_language_model,
    all_recipes=True,
    title="Bi-Jump-ReLU",
    caption="A line shows the code of one latent against its encoder product. The solid one is "
    "zero between two thresholds, the dashed one below a single threshold.",
)
def figure_1(study: Shown) -> Drawn:
    import torch

    u = torch.linspace(-2, 2, 1601)
    table = pd.DataFrame({"u": u.tolist(), **{name: code(name, u) for name in GATES}})
    drawing, ((panel,),) = plot.canvas((3.5, 2.6))
    panel.axhline(0, color="black", lw=0.5, zorder=1)
    panel.axvspan(-THETA_NEG, THETA_POS, color=plot.BAND, alpha=0.3, lw=0, zorder=0)
    for variant, look in GATES.items():
        z = table[variant].where(table[variant].diff().abs() < 0.1)  # a jump is not joined
        panel.plot(table["u"], z, **look)
    panel.text((THETA_POS - THETA_NEG) / 2, -1.75, "dead zone", ha="center", color="#444444")
    panel.set_xticks([-2, -THETA_NEG, 0, THETA_POS, 2], ["−2", "−θ⁻", "0", "θ⁺", "2"])
    panel.set(xlabel="encoder product u", ylabel="code z", ylim=(-2.4, 2.4))
    panel.legend(loc="upper left", frameon=False)
    return drawing, table


def width_label(multiple: float) -> str:
    """A width in latents for n pairs or axes."""
    return f"H = {'' if multiple == 1 else f'{multiple:g}'}n"


def systems(table: pd.DataFrame) -> dict[System, Look]:
    """How each system looks, wider first within a variant.

    Colour and marker say which variant; a second width of Gated is dashed.
    """
    known = table[["variant", "multiple"]].drop_duplicates()
    known = known.sort_values("multiple", ascending=False)
    return {
        (variant, multiple): {
            "color": colour,
            "marker": marker,
            "ls": "--" if variant == "gated" and multiple <= 1 else "-",
        }
        for variant, (colour, marker) in looks(table["variant"]).items()
        for multiple in known.loc[known["variant"] == variant, "multiple"]
    }


def values(table: pd.DataFrame, metric: str, setting: str) -> pd.DataFrame:
    """Rows of a metric in the settings named ``setting=x``, with the number ``x``, in its order."""
    parts = table["setting"].str.partition("=")
    rows = table.assign(x=pd.to_numeric(parts[2], errors="coerce").astype(float))
    return rows[(parts[0] == setting) & (table["metric"] == metric)].sort_values("x", kind="stable")


def line(panel: mpl.axes.Axes, rows: pd.DataFrame, system: System, style: Look) -> None:
    """Means of a system against ``x`` with their standard errors."""
    here = rows[(rows["variant"] == system[0]) & (rows["multiple"] == system[1])]
    panel.errorbar(here["x"], here["mean"], yerr=here["se"], capsize=1.5, elinewidth=0.8, **style)


def dressed(panel: mpl.axes.Axes, x: str, y: str, title: str = "") -> None:
    panel.set(xlabel=x, ylabel=y, title=title)
    plot.grid(panel)


def over_superposition(panel: mpl.axes.Axes, words: str) -> None:
    dressed(panel, "superposition n / d", words)
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def legend(drawing: mpl.figure.Figure, table: pd.DataFrame, *notes: str) -> None:
    """All systems of the table, then notes without a line."""
    keys = {
        f"{variant_label(variant)}, {width_label(multiple)}": style
        for (variant, multiple), style in systems(table).items()
    }
    plot.legend_below(drawing, plot.legend_of(keys | {note: {"ls": "none"} for note in notes}), 2)


@figure(
    [BY_PROTOCOL["polarity_dial"]],
    when=no_language_model,
    all_recipes=True,
    title="Protocol A, the Polarity Dial",
    caption="The left panels show the reconstruction error, the right ones the calibration "
    "slope of each sign; each row has one size of the negative side. At a slope of 1 "
    "the code does not shrink.",
)
def figure_4(study: Shown) -> Drawn:
    table = study.protocol("polarity_dial")
    keys = ["setting", "variant", "multiple", "lam"]
    l0 = table.loc[table["metric"] == "l0", [*keys, "mean", "se"]]
    l0 = l0.rename(columns={"mean": "x", "se": "x_se"})
    parts = [values(table, metric, "alpha") for metric in ("mse", "slope_pos", "slope_neg")]
    drawn = pd.concat(parts).rename(columns={"x": "alpha"}).merge(l0, on=keys)
    alphas = sorted(drawn["alpha"].unique())
    size = 5.2, 1.75 * len(alphas) + 0.8
    drawing, axes = plot.canvas(size, len(alphas), 2, sharex="all", sharey="col")
    for alpha, (left, right) in zip(alphas, axes, strict=True):
        here = drawn[(drawn["alpha"] == alpha) & (drawn["x"] > 0)].sort_values("x")
        by_metric = dict(iter(here.groupby("metric")))
        for system, style in systems(table).items():
            line(left, by_metric["mse"], system, style)
            down = style | {"marker": "v", "markerfacecolor": "white"}
            line(right, by_metric["slope_pos"], system, style | {"marker": "^"})
            line(right, by_metric["slope_neg"], system, down)
        right.axhline(1, color="black", lw=0.6, zorder=1)
        dressed(left, "", "MSE a coordinate", f"negative side × {alpha:g}")
        dressed(right, "", "calibration slope")
        left.set(yscale="log", xscale="log")
        for axis in (left.xaxis, left.yaxis):
            plot.decimal_ticks(axis)
    low, high = axes[0, 1].get_ylim()
    axes[0, 1].set_ylim(min(low, 0.9), max(high, 1.1))  # 0.01 is not to look large
    for panel in axes[-1]:
        panel.set_xlabel("L0 (active latents per sample)")
    legend(drawing, table, "right: ▲ positive side, ▽ negative side")
    return drawing, drawn


@figure(
    [BY_PROTOCOL["anomalies"]],
    when=no_language_model,
    all_recipes=True,
    title="Protocol B, anomalies",
    caption="A point shows how well the code of one latent tells a large excursion of one axis "
    "from everything else. The higher point is better; 0.5 is chance.",
)
def figure_5(study: Shown) -> Drawn:
    table = study.protocol("anomalies", picked=True)
    names = {"pos": "positive", "neg": "negative", "mean": "mean", "worse": "worse"}
    rows = [values(table, f"auroc_{name}", "budget") for name in names]
    budgets = sorted(set(rows[0]["x"]))
    styles = looks(table["variant"])
    drawing, (axes,) = plot.canvas((1.75 * len(budgets) + 0.5, 2.7), 1, len(budgets), sharey="all")
    legend: dict[str, Look] = {}
    for panel, budget in zip(axes, budgets, strict=True):
        for i, (variant, (colour, marker)) in enumerate(styles.items()):
            look = {"color": colour, "marker": marker, "ls": "none"}
            legend[variant_label(variant)] = look
            for place, of_name in enumerate(rows):
                here = of_name[(of_name["x"] == budget) & (of_name["variant"] == variant)]
                x = [place + 0.22 * (i - (len(styles) - 1) / 2)] * len(here)
                panel.errorbar(x, here["mean"], here["se"], capsize=1.5, elinewidth=0.8, **look)
        panel.set_xticks(range(len(names)), names.values(), rotation=35)
        panel.axhline(0.5, color="black", lw=0.6, ls=":", zorder=1)
        dressed(panel, "", "", width_label(budget))
    axes[0].set_ylabel("AUROC")
    plot.legend_below(drawing, plot.legend_of(legend), 3)
    return drawing, pd.concat(rows, ignore_index=True)


TRUTH, POSITIVE = "#222222", "z > 0"
# How the two sides of a latent are drawn.
SIDES: dict[str, Look] = {
    POSITIVE: {"color": POSITIVE_COLOUR, "lw": 2, "ls": "-"},
    "z < 0": {"color": NEGATIVE_COLOUR, "lw": 2, "ls": "--"},
}
# A side that fires on less of a latent's firings than this is not drawn.
RARE = 0.001


def chosen(table: pd.DataFrame, runs: Rows) -> Rows:
    """The rows of the first seed at the operating points of the table."""
    keys = ["setting", "variant", "multiple", "lam"]
    picked = set(table.loc[table["picked"], keys].itertuples(index=False, name=None))
    seed = min(row["seed"] for row in runs)
    of_seed = [row for row in runs if row["seed"] == seed]
    return [row for row in of_seed if tuple(row[key] for key in keys) in picked]


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("variant", "width", "lam", "seed")}


@figure(
    [BY_PROTOCOL["geometry"]],
    when=no_language_model,
    measures=RUNS,
    all_recipes=True,
    title="Protocol C on a plane",
    caption="The dots are features in opposite pairs, the lines the latents that a variant "
    "spends on them. A latent with two lines serves both poles of a pair.",
)
def figure_6(study: Shown) -> Drawn:
    rows = chosen(study.protocol("geometry"), study.runs)
    drawing, (axes,) = plot.canvas((1.75 * len(rows), 2.9), 1, len(rows))
    drawn = []
    for panel, row in zip(axes, rows, strict=True):
        table = directions(row)
        panel.add_patch(mpl.patches.Circle((0, 0), 1, fill=False, color=plot.BAND, lw=0.7))
        truth = table[table["kind"] == "true direction"]
        panel.plot(truth["x"], truth["y"], "o", color=TRUTH, markersize=6, zorder=3)
        for kind, look in SIDES.items():
            for side in table[table["kind"] == kind].to_dict("records"):
                x, y = side["x"], side["y"]
                panel.plot([0, x], [0, y], **look, zorder=2)
                name = f"{side['latent']:.0f}" if kind == POSITIVE else ""
                panel.text(1.17 * x, 1.17 * y, name, ha="center", va="center")
        metrics = row["metrics"]
        panel.set_title(
            f"{variant_label(row['variant'])}, {width_label(row['multiple'])}\n"
            f"R² {metrics['r2']:.3f}\n{metrics['pcr']:.0%} consolidated"
        )
        panel.set(aspect="equal", xlim=(-1.25, 1.25), ylim=(-1.25, 1.25))
        panel.set_axis_off()
        drawn.append(table.assign(**_named(row))[[*_named(row), *table]])
    keys: dict[str, Look] = {"true direction": {"marker": "o", "ls": "none", "color": TRUTH}}
    keys |= {f"{kind} of a latent": look for kind, look in SIDES.items()}
    plot.legend_below(drawing, plot.legend_of(keys), 3)
    return drawing, pd.concat(drawn, ignore_index=True)


def directions(row: dict[str, Any]) -> pd.DataFrame:
    """The true directions of a run on the plane, and those of each side of each latent."""
    pairs = int(row["setting"].partition("=")[2])
    angles = np.arange(2 * pairs) * np.pi / pairs
    points: Rows = [
        {"kind": "true direction", "x": float(np.cos(a)), "y": float(np.sin(a))} for a in angles
    ]
    for latent, ((x, y), counts) in enumerate(zip(row["decoder"], row["fires"], strict=True)):
        for kind, sign, fires in zip(SIDES, (1, -1), counts, strict=True):
            if fires > RARE * sum(counts):
                point = {"kind": kind, "latent": latent, "x": sign * x, "y": sign * y}
                points.append(point | {"fires": fires})
    return pd.DataFrame(points, columns=["kind", "x", "y", "latent", "fires"])


@figure(
    [BY_PROTOCOL["consolidation"]],
    when=no_language_model,
    measures=RUNS,
    all_recipes=True,
    title="Activations of one latent",
    caption="The bars count the activations of a latent that serves both poles of a pair. Its "
    "two lobes stand on either side of the dead zone.",
)
def figure_7(study: Shown) -> Drawn:
    table = study.protocol("consolidation")
    rows = [row for row in chosen(table, study.runs) if row.get("histogram")]
    if not rows:
        raise ValueError("no latent serves both poles of a pair, so there is no histogram to draw")
    row, histogram = rows[-1], rows[-1]["histogram"]
    counts, silent = histogram["counts"], histogram["silent"]
    edges = np.linspace(-histogram["edge"], histogram["edge"], len(counts) + 1)
    drawing, ((panel,),) = plot.canvas((3.5, 2.4))
    above, below = (look["color"] for look in SIDES.values())
    colours = np.where(edges[:-1] >= 0, above, below)
    panel.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colours)
    up, down = histogram["least"]
    panel.axvspan(down, up, color=plot.BAND, alpha=0.3, lw=0)
    total = silent + histogram["outside"] + sum(counts)
    words = f"dead zone\nz = 0 on\n{silent / total:.1%}"
    panel.text((up + down) / 2, 0.62 * max(counts), words, ha="center", va="center", fontsize=7)
    panel.set(xlabel="activation z, in units of the data", ylabel="samples")
    latent = histogram["latent"]
    panel.set_title(f"{variant_label(row['variant'])}, latent {latent}, {row['setting']}")
    bins = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": counts})
    known = {name: histogram[name] for name in ("latent", "silent", "outside")}
    return drawing, bins.assign(**_named(row), **known)


SEPARATE = "dotted, hollow: the two poles found by two latents"
SHARE = f"share of pairs (|cos| ≥ {TAU:g})"


@figure(
    [BY_PROTOCOL["consolidation"]],
    when=no_language_model,
    all_recipes=True,
    title="Protocol C against superposition",
    caption="The lines show R² and the share of poles that some latent serves, against pairs "
    "per dimension. The higher line is better.",
)
def figure_8(study: Shown) -> Drawn:
    table = study.protocol("consolidation", picked=True)
    drawing, (axes,) = plot.canvas((5.2, 2.9), 1, 2)
    shown = {"r2": "R²", "poles_found": f"poles found (|cos| ≥ {TAU:g})"}
    drawn = []
    for panel, (metric, words) in zip(axes, shown.items(), strict=True):
        drawn.append(values(table, metric, "superposition"))
        for system, style in systems(table).items():
            line(panel, drawn[-1], system, style)
        over_superposition(panel, words)
    legend(drawing, table)
    return drawing, pd.concat(drawn, ignore_index=True)


def rates(panel: mpl.axes.Axes, consolidated: pd.DataFrame, separate: pd.DataFrame) -> None:
    """Consolidation of every system; of the wider Gated also the pairs found by two latents."""
    for system, style in systems(consolidated).items():
        line(panel, consolidated, system, style)
        if system == ("gated", 2):
            line(panel, separate, system, style | {"ls": ":", "markerfacecolor": "white"})
    panel.set_ylim(-0.04, 1.04)


@figure(
    [BY_PROTOCOL["consolidation"]],
    when=no_language_model,
    all_recipes=True,
    title="Pair Consolidation Rate",
    caption="A line shows the share of pairs whose two poles are served by the two signs of one "
    "latent. The left panel varies superposition, the right one the cosine that is "
    "asked for.",
)
def figure_9(study: Shown) -> Drawn:
    table = study.protocol("consolidation", picked=True)
    drawing, ((left, right),) = plot.canvas((5.2, 3.0), 1, 2, sharey="all")
    shown = [values(table, metric, "superposition") for metric in ("pcr", "separate")]
    rates(left, *shown)
    over_superposition(left, SHARE)
    levels = sorted(set(shown[0]["x"]))
    level = levels[len(levels) // 2]
    here = table[table["setting"] == f"superposition={level:g}"]
    curves = []
    for name in ("pcr", "separate"):
        at = pd.to_numeric(here["metric"].str.removeprefix(f"{name}_"), errors="coerce")
        curves.append(here.assign(x=at)[at.notna()].sort_values("x", kind="stable"))
    rates(right, *curves)
    dressed(right, "threshold on |cos|", "", f"n / d = {level:g}")
    legend(drawing, table, SEPARATE)
    return drawing, pd.concat([*shown, *curves], ignore_index=True)


@figure(
    [BY_PROTOCOL["robustness"]],
    when=no_language_model,
    all_recipes=True,
    title="Robustness of consolidation",
    caption="A line shows the share of pairs whose two poles are served by the two signs of one "
    "latent. The left panel varies how often both poles are active, the right one the "
    "cosine between them.",
)
def figure_10(study: Shown) -> Drawn:
    table = study.protocol("robustness", picked=True)
    drawing, (axes,) = plot.canvas((5.2, 2.9), 1, 2, sharey="all")
    words = {
        "rho": "within-pair correlation ρ of activity",
        "cosine": "cosine between the two poles",
    }
    shown = []
    for panel, (name, text) in zip(axes, words.items(), strict=True):
        shown += [values(table, metric, name) for metric in ("pcr", "separate")]
        rates(panel, *shown[-2:])
        dressed(panel, text, "")
    axes[0].set_ylabel(SHARE)
    legend(drawing, table, SEPARATE)
    return drawing, pd.concat(shown, ignore_index=True)
