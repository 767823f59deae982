"""Studies with k-sparse variants: tables have k where others have lambda."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.analysis.csv_files import read_table
from pipeline.study.cell import Cell
from pipeline.study.study import Study
from tests.pipeline.conftest import MadeStudy, metrics_of, write_metrics
from tests.pipeline.made_grid import configuration

KS, LAMBDAS = [16, 32, 64, 128], [0.05, 0.1, 0.2]
LEAD = 0.04
"""R2 of AbsTopK above TopK at equal L0."""


def study_of(folder: Path) -> Study:
    """TopK against AbsTopK of half the width, and SA-GSAE against TopK."""
    topk, abstopk = {"variant": "topk", "expansion": 4}, {"variant": "abstopk", "expansion": 2}
    tied, gated = {"variant": "sagsae_tied", "expansion": 2}, {"variant": "gated", "expansion": 4}
    raw = configuration(results=str(folder), cache=str(folder / "cache"))
    raw["models"], raw["hookpoints"] = raw["models"][:1], ["mlp_out", "resid"]
    raw["grid"] = [topk | {"ks": KS}, abstopk | {"ks": KS, "seeds": [0, 1]}]
    raw["grid"] += [tied | {"lambdas": LAMBDAS}, gated | {"lambdas": LAMBDAS}]
    raw["comparisons"] = [
        {"candidate": abstopk, "baseline": topk, "matched_l0": [64]},
        {"candidate": tied, "baseline": topk, "matched_l0": [64]},
    ]
    return Study.from_dict(raw)


def result(cell: Cell, d_model: int) -> dict[str, Any]:
    l0 = float(cell.k) if cell.k else 8 / cell.knob
    r2 = 0.5 + 0.1 * math.log(l0 / 20) + LEAD * (cell.variant == "abstopk")
    values = metrics_of(cell, d_model, l0=l0, r2=r2, dead=3 if cell.variant == "topk" else 1)
    given = asdict(cell).items()
    return values | {"cell": {name: value for name, value in given if value not in ("", None)}}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> MadeStudy:
    study = study_of(tmp_path_factory.mktemp("ks"))
    write_metrics(study, result)
    made = MadeStudy(Path(study.root), study.scope.model_dump())
    made.tables()
    return made


def table(made: MadeStudy, name: str):
    return read_table(made.root / "tables" / f"{name}.csv")


@pytest.mark.parametrize("name", ["cells", "points", "calibration"])
def test_each_row_has_one_of_lambda_and_k(made, name):
    rows = table(made, name)
    assert (rows["lam"].isna() ^ rows["k"].isna()).all()
    sparse = rows["variant"].isin(["topk", "abstopk"])
    assert (rows["k"].notna() == sparse).all()
    assert set(rows["k"].dropna()) <= set(KS)
    assert list(rows.columns).index("k") == list(rows.columns).index("lam") + 1


def test_comparisons_follow_the_frontiers(made):
    rows = table(made, "comparison").set_index(["candidate_variant", "hookpoint"])
    for place in ("mlp_out", "resid"):
        row = rows.loc[("abstopk", place)]
        assert row["mean_gap"] == pytest.approx(LEAD)
        assert str(row["dominates"]) == "True"
        assert (row["overlap_lo"], row["overlap_hi"]) == pytest.approx((16, 128))
        assert row["candidate_seeds"] == 2
        assert rows.loc[("sagsae_tied", place), "mean_gap"] == pytest.approx(0, abs=1e-9)
