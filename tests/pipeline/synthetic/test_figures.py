"""Figures of the synthetic protocols draw their tables; the same input gives the same bytes."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from pipeline.__main__ import main as stage
from pipeline.figures.canvas import STYLE
from pipeline.jobs.json_files import write_json
from pipeline.study.figures import FIGURE_PROTOCOLS
from pipeline.synthetic import activation as activation_figure
from pipeline.synthetic import figures as synthetic_figures
from pipeline.synthetic.means import read_runs, summarise

METRICS = {
    "polarity_dial": ["mse", "slope_pos", "slope_neg"],
    "anomalies": ["auroc_pos", "auroc_neg", "auroc_mean", "auroc_worse"],
    "consolidation": ["r2", "poles_found", "pcr", "separate"],
    "robustness": ["pcr", "separate"],
    "geometry": ["r2", "pcr"],
}
SETTINGS = {
    "polarity_dial": ["alpha=1", "alpha=10"],
    "anomalies": ["budget=0.5", "budget=2"],
    "consolidation": ["superposition=0.5", "superposition=2", "superposition=16"],
    "robustness": ["rho=-1", "rho=0", "cosine=-1", "cosine=-0.5"],
    "geometry": ["pairs=2"],
}
SYSTEMS = [("gated", 2.0), ("gated", 1.0), ("sagsae_tied", 1.0)]


def rows(protocol: str, seed: int) -> list[dict]:
    """Made-up runs of a protocol, all numbers different."""
    rng = np.random.default_rng([seed, list(METRICS).index(protocol)])
    made = []
    for setting, (variant, multiple), lam in product(SETTINGS[protocol], SYSTEMS, (0.1, 0.2)):
        metrics = {name: rng.uniform(0.2, 0.9) for name in METRICS[protocol]}
        metrics |= {"l0": 4 if lam == 0.1 else 1 + 0.1 * rng.uniform(), "target_l0": 1.0}
        if protocol == "consolidation":
            metrics |= {f"{m}_{t}": rng.uniform() for m in ("pcr", "separate") for t in (0.5, 0.9)}
        row = {"setting": setting, "variant": variant, "multiple": multiple, "width": 4}
        row |= {"lam": lam, "metrics": metrics}
        if protocol == "geometry":
            row |= {"decoder": [[1, 0], [0, -1]], "fires": [[9, 9], [9, 0]]}
        if protocol == "consolidation" and setting == "superposition=0.5":
            bins = {"edge": 2.0, "counts": [5, 0, 0, 7], "silent": 80, "outside": 1, "latent": 3}
            row["histogram"] = (bins | {"least": [0.5, -0.6]}) if variant != "gated" else None
        made.append(row)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two seeds of made-up runs of every protocol and their table."""
    made = tmp_path_factory.mktemp("made")
    for protocol in METRICS:
        paths = [made / f"{protocol}_seed{seed}.json" for seed in (3, 4)]
        for seed, path in zip((3, 4), paths, strict=True):
            write_json(path, {"protocol": protocol, "seed": seed, "rows": rows(protocol, seed)})
        summarise(read_runs(paths)).to_csv(made / f"{protocol}.csv", index=False)
    return made


def drawn(folder: Path, name: str, out: Path) -> pd.DataFrame:
    protocol = FIGURE_PROTOCOLS[name]
    runs = [str(folder / f"{protocol}_seed{seed}.json") for seed in (3, 4)]
    table = str(folder / f"{protocol}.csv")
    arguments = ["--figure", name, "--table", table, "--runs", *runs]
    stage(["synthetic-figure", *arguments, "--out", str(out)])
    return pd.read_csv(out.with_suffix(".csv"))


def figure(folder: Path, name: str):
    protocol = FIGURE_PROTOCOLS[name]
    runs = read_runs([folder / f"{protocol}_seed{seed}.json" for seed in (3, 4)])
    with mpl.rc_context(STYLE):
        return synthetic_figures.draw(name, summarise(runs), runs)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURE_PROTOCOLS)
def test_the_same_input_gives_the_same_bytes(folder, tmp_path, name):
    for place in ("a", "b"):
        drawn(folder, name, tmp_path / place / "f.png")
    for suffix in ("png", "svg", "csv"):
        first, second = ((tmp_path / place / f"f.{suffix}").read_bytes() for place in ("a", "b"))
        assert first == second


@pytest.mark.parametrize("name", ["figure_5", "figure_8", "figure_9", "figure_10"])
def test_operating_points_are_drawn_as_the_table_has_them(folder, tmp_path, name):
    shown = drawn(folder, name, tmp_path / "f.png")
    table = pd.read_csv(folder / f"{FIGURE_PROTOCOLS[name]}.csv")
    keys = ["setting", "variant", "multiple", "metric"]
    expected = table[table["picked"]].set_index(keys).loc[pd.MultiIndex.from_frame(shown[keys])]
    assert shown["mean"].tolist() == pytest.approx(expected["mean"].tolist())
    assert set(shown["lam"]) == {0.2}
    assert shown["x"].notna().all()


def test_the_dial_has_the_whole_sweep_at_its_l0(folder, tmp_path):
    shown = drawn(folder, "figure_4", tmp_path / "f.png")
    assert len(shown) == 3 * 2 * len(SYSTEMS) * 2
    assert set(shown["alpha"]) == {1, 10}
    assert shown.loc[shown["lam"] == 0.1, "x"].eq(4).all()
    assert shown["x_se"].notna().all()
    titles = [panel.get_title() for panel in figure(folder, "figure_4").axes]
    assert titles == ["negative side × 1", "", "negative side × 10", ""]


def test_bi_jump_relu_is_zero_in_its_dead_zone_and_jumps_at_both_ends(tmp_path):
    stage(["figure-1", "--out", str(tmp_path / "f.png")])
    table = pd.read_csv(tmp_path / "f.csv")
    low, high = -activation_figure.THETA_NEG, activation_figure.THETA_POS
    inside = table["u"].between(low + 1e-6, high - 1e-6)
    assert (table.loc[inside, "sagsae_sym"] == 0).all()
    assert (table.loc[table["u"] > high + 1e-6, "sagsae_sym"] > 0.5).all()
    assert (table.loc[table["u"] < low - 1e-6, "sagsae_sym"] < -0.5).all()
    assert (table.loc[table["u"] < high - 1e-6, "gated"] == 0).all()
