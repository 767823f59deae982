"""Figures of the synthetic protocols draw their tables."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.__main__ import main as stage
from pipeline.analysis.figure import draw, parts
from pipeline.jobs.json_files import write_json
from pipeline.study.measures import Measures, gather
from pipeline.study.scope import Scope
from pipeline.study.synthetic import PROTOCOLS
from sagsae.files import signed

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


def scope(**changes) -> Scope:
    runs = {f"{protocol}_seed{seed}": {} for protocol, seed in product(PROTOCOLS, (3, 4))}
    bare = {"comparisons": [], "models": {}, "hookpoints": [], "study": "made"}
    return Scope.model_validate(bare | {"made_for": {"synthetic": runs}} | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two seeds of made-up runs of every protocol, their measures and their tables."""
    made = tmp_path_factory.mktemp("made")
    for protocol, seed in product(METRICS, (3, 4)):
        path = made / "synthetic" / "runs" / f"{protocol}_seed{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"protocol": protocol, "seed": seed, "rows": rows(protocol, seed)})
    write_json(made / "measures" / "study.json", scope().model_dump())
    gather(scope(), made, made / "measures" / "synthetic.jsonl")
    measures = f"--measures={made / 'measures'}"
    stage(["tables", "--of=synthetic", measures, f"--root={made}"])
    return made


def drawn(folder: Path, name: str, out: Path) -> pd.DataFrame:
    out = out.with_name(f"{name}.png")
    measures = [f"--measures={folder / 'measures'}", f"--root={folder}"]
    stage(["figure", *measures, "--out", str(out)])
    return pd.read_csv(out.with_suffix(".csv"))


def table_of(folder: Path, protocol: str) -> pd.DataFrame:
    return pd.read_csv(folder / "synthetic" / f"{protocol}.csv")


def test_the_summary_has_the_rows_of_every_protocol(folder):
    parts = pd.concat([table_of(folder, name) for name in PROTOCOLS], ignore_index=True)
    pd.testing.assert_frame_equal(table_of(folder, "summary"), parts)


@pytest.mark.parametrize("name", ["figure_5", "figure_9"])
def test_operating_points_are_drawn_as_the_table_has_them(folder, tmp_path, name):
    shown = drawn(folder, name, tmp_path / "f.png")
    table = table_of(folder, parts(name)[0].tables[0].name)
    keys = ["setting", "variant", "multiple", "metric"]
    expected = table[table["picked"]].set_index(keys).loc[pd.MultiIndex.from_frame(shown[keys])]
    assert shown["mean"].tolist() == pytest.approx(expected["mean"].tolist())
    assert set(shown["lam"]) == {0.2}
    assert shown["x"].notna().all()


def test_the_histogram_has_its_bins_and_what_lies_beside_them(folder, tmp_path):
    shown = drawn(folder, "figure_7", tmp_path / "f.png")
    assert shown["count"].tolist() == [5, 0, 0, 7]
    assert shown["low"].tolist() == [-2, -1, 0, 1]
    assert set(shown["variant"]) == {"sagsae_tied"}
    assert shown["silent"].unique().tolist() == [80]


def test_without_a_consolidated_pair_there_is_no_histogram(folder, tmp_path):
    bare = [{**row, "histogram": None} for row in rows("consolidation", 3)]
    run = {"protocol": "consolidation", "seed": 3, "rows": bare}
    line = {"name": "consolidation_seed3", **signed(run)}
    (tmp_path / "synthetic.jsonl").write_text(json.dumps(line) + "\n")
    one = scope(made_for={"synthetic": {"consolidation_seed3": {}}})
    with pytest.raises(ValueError, match="no latent serves both poles"):
        draw("figure_7", folder, one, Measures(tmp_path, one))
