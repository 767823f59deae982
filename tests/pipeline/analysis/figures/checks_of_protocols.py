"""What each figure without a language model must draw: filtered from the tables of protocols."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pipeline.analysis.numbers import LOOKS
from tests.pipeline.analysis.figures import artists
from tests.pipeline.analysis.figures.artists import plain, rows, same, title
from tests.pipeline.analysis.figures.tables_of_study import Study, series


def code_of_one_latent(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    """Thresholds 0.6 and 0.9, gains e^0.1, offsets 0 and 0.2."""
    (panel,) = figure.axes
    gain = np.exp(0.1)
    for line in plain(panel):
        u, z = np.asarray(line.get_xydata()).T
        two = line.get_label().startswith("Bi-")
        below = -(gain * -u + 0.2) if two else np.zeros_like(u)
        expected = np.where(u > 0.6, gain * u, np.where(u < -0.9, below, 0))
        sure = ~np.isnan(z) & (abs(u - 0.6) > 1e-3) & (abs(u + 0.9) > 1e-3)
        np.testing.assert_allclose(z[sure], expected[sure], atol=1e-5)
        assert np.isnan(z[1:]).sum() == (2 if two else 1), "a jump is not joined"


def system(table: pd.DataFrame) -> pd.Series:
    """Of each row its label, such as "Gated, H = 2n"."""
    widths = table["multiple"].map(lambda times: "n" if times == 1 else f"{times:g}n")
    return table["variant"].map(lambda name: LOOKS[name].label) + ", H = " + widths


def with_mean(table: pd.DataFrame) -> dict[str, np.ndarray]:
    table = table.assign(label=system(table), none=np.nan)
    return series(table, "x", "mean", "none", "se", "se")


def polarity_dial(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    table = study.protocol("polarity_dial", picked=False).rename(columns={"x": "alpha"})
    keys = ["setting", "variant", "multiple", "lam"]
    l0 = table[table["metric"] == "l0"].set_index(keys)["mean"].rename("x")
    table = table.join(l0, on=keys)
    table = table[table["x"] > 0]
    labels = artists.legend(figure, ("color", "ls"))
    for left, right in np.reshape(figure.axes, (-1, 2)):
        here = table[table["alpha"] == float(title(left).rpartition(" ")[2])]
        drawn = artists.with_errors(left, labels, "color", "ls")
        same(drawn, with_mean(here[here["metric"] == "mse"]))
        for metric, marker in (("slope_pos", "^"), ("slope_neg", "v")):
            own = [c for c in right.containers if c.lines[0].get_marker() == marker]
            drawn = {
                labels[artists.look(one.lines[0], ("color", "ls"))]: artists.of_errorbar(one)
                for one in own
            }
            same(drawn, with_mean(here[here["metric"] == metric]))
    assert len(figure.axes) == 2 * table["alpha"].nunique()


def anomalies(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    table = study.protocol("anomalies")
    labels = artists.legend(figure, ("color", "marker"))
    ticks = {"positive": "pos", "negative": "neg", "mean": "mean", "worse": "worse"}
    for panel in figure.axes:
        budget = title(panel).removeprefix("H = ").removesuffix("n") or 1
        here = table[table["x"] == float(budget)]
        names = [ticks[label.get_text()] for label in panel.get_xticklabels()]
        drawn = artists.with_errors(panel, labels, "color", "marker")
        places = np.concatenate(list(drawn.values()))[:, 0]
        assert len(set(places)) == len(places)
        assert drawn.keys() == {LOOKS[name].label for name in here["variant"]}
        for variant, own in here.groupby("variant"):
            for x, mean, _, _, error in drawn[LOOKS[variant].label]:
                (row,) = own[own["metric"] == f"auroc_{names[round(x)]}"].itertuples()
                np.testing.assert_allclose((mean, error), (row.mean, row.se))
    assert len(figure.axes) == table["x"].nunique()


def superposition(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    table = study.protocol("consolidation")
    table = table[table["asked"] == "superposition"]
    labels = artists.legend(figure)
    for panel, metric in zip(figure.axes, ("r2", "poles_found"), strict=True):
        assert panel.get_ylabel().replace(" ", "_").replace("²", "2").lower().startswith(metric)
        same(artists.with_errors(panel, labels), with_mean(table[table["metric"] == metric]))


def check_rates(panel: Axes, figure: Figure, table: pd.DataFrame) -> None:
    """Pairs on one latent; dotted those of Gated of 2n on two."""
    labels = artists.legend(figure)
    dotted = [c for c in panel.containers if c.lines[0].get_linestyle() == ":"]
    two = table[(table["kind"] == "separate") & (table["variant"] == "gated")]
    two = two[two["multiple"] == 2]
    assert len(dotted) == (1 if len(two) else 0)
    for container in dotted:
        same({"": artists.of_errorbar(container)}, {"": next(iter(with_mean(two).values()))})
        labels[artists.look(container.lines[0])] = "dotted"
    drawn = dict(artists.with_errors(panel, labels))
    drawn.pop("dotted", None)
    same(drawn, with_mean(table[table["kind"] == "pcr"]))


def consolidation(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    left, right = figure.axes
    table = study.protocol("consolidation")
    table = table[table["asked"] == "superposition"]
    check_rates(left, figure, table.assign(kind=table["metric"]))
    level = float(title(right).removeprefix("n / d = "))
    levels = sorted(table["x"].unique())
    assert level == levels[len(levels) // 2]
    here = table[table["x"] == level]
    split = here["metric"].str.extract(r"^(?P<kind>pcr|separate)_(?P<x>[\d.]+)$")
    here = here.drop(columns="x").join(split.astype({"x": float})).dropna(subset="x")
    check_rates(right, figure, here)


def robustness(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    table = study.protocol("robustness")
    for panel, asked in zip(figure.axes, ("rho", "cosine"), strict=True):
        word = {"rho": "correlation", "cosine": "cosine"}[asked]
        assert word in panel.get_xlabel()
        here = table[table["asked"] == asked]
        check_rates(panel, figure, here.assign(kind=here["metric"]))


def picked_runs(study: Study, protocol: str) -> list[dict]:
    """Rows of the first seed at the operating points."""
    table = study.protocol(protocol)
    keys = ["setting", "variant", "multiple", "lam"]
    known = set(table[keys].itertuples(index=False, name=None))
    (run,) = (
        run
        for run in study.lines("synthetic.jsonl")
        if (run["protocol"], run["seed"]) == (protocol, 0)
    )
    return [row for row in run["rows"] if tuple(row[key] for key in keys) in known]


def plane(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    """The dots stand at even angles; the lines are rows of decoders that fire with that sign."""
    found = picked_runs(study, "geometry")
    labels = artists.legend(figure, ("color", "ls"))
    for panel, row in zip(figure.axes, found, strict=True):
        assert title(panel).startswith(LOOKS[row["variant"]].label + ", H = ")
        count = 2 * int(row["setting"].partition("=")[2])
        angles = np.arange(count) * 2 * np.pi / count
        expected = {"true direction": rows(np.cos(angles), np.sin(angles))}
        for sign, name in ((1, "z > 0 of a latent"), (-1, "z < 0 of a latent")):
            ends = [
                (sign * x, sign * y)
                for (x, y), fires in zip(row["decoder"], row["fires"], strict=True)
                if fires[0 if sign == 1 else 1] > 0.001 * sum(fires)
            ]
            pairs = [xy for end in ends for xy in ((0, 0), end)]
            expected[name] = rows(*np.reshape(pairs, (-1, 2)).T)
        same(artists.without_errors(panel, labels, "color", "ls"), expected)


def histogram(figure: Figure, study: Study, recipe: str, everything: bool) -> None:
    row = [row for row in picked_runs(study, "consolidation") if row.get("histogram")][-1]
    (panel,), found = figure.axes, row["histogram"]
    assert (
        title(panel)
        == f"{LOOKS[row['variant']].label}, latent {found['latent']}, " + row["setting"]
    )
    *bars, band = panel.patches
    assert [bar.get_height() for bar in bars] == found["counts"]
    edges = np.linspace(-found["edge"], found["edge"], len(bars) + 1)
    np.testing.assert_allclose([bar.get_x() for bar in bars], edges[:-1], atol=1e-12)
    colours = {
        to_hex(bar.get_facecolor()) for bar, low in zip(bars, edges, strict=False) if low >= 0
    }
    assert colours.isdisjoint(
        {to_hex(bar.get_facecolor()) for bar, low in zip(bars, edges, strict=False) if low < -1e-9}
    )
    up, down = found["least"]
    np.testing.assert_allclose((band.get_x(), band.get_x() + band.get_width()), (down, up))
