"""A cell whose autoencoder is a class of a user's own package: named, trained, saved, evaluated."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import pytest
import torch

import sagsae
from pipeline.analysis.numbers import sweep_label
from pipeline.jobs.json_files import digest, read_json
from pipeline.study.cell import Cell
from pipeline.study.curves import read_curve
from pipeline.study.outputs import CURVE, METRICS, WEIGHTS
from pipeline.study.sections import CellNameError, ConfigError
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG, load_yaml
from tests.helpers.real_study import make_whole_study
from tests.their_package import installed


@pytest.fixture
def variant(tmp_path, monkeypatch):
    with installed(tmp_path / "site", monkeypatch) as name:
        yield f"{name}:TopK"


def test_trained_saved_and_evaluated(variant, tmp_path):
    grid = [{"variant": variant, "width": 24, "lambdas": [0.1]}]
    made = make_whole_study(tmp_path, grid=grid, hookpoints=["resid"])
    (cell,) = made.study.cells
    assert cell.variant == variant
    spec, metrics = made.study.train_spec(cell), read_json(made.cell(cell) / METRICS)
    assert metrics["l0"] == 4
    assert (metrics["parameters_per_latent"], metrics["break_even_share"]) == (2 * 32, None)
    assert metrics["made_from"]["train"] == digest(spec)
    curve = read_curve(made.cell(cell) / CURVE)[0]["reconstruction"]
    assert curve.iloc[-1] < curve.iloc[0]
    kind = import_module(variant.partition(":")[0]).TopK
    sae = sagsae.load(made.cell(cell) / WEIGHTS, variant=kind)
    assert (sae.name, sae.width) == (variant, 24)
    provenance = sae.provenance
    assert provenance["versions"]["torch"] == torch.__version__
    assert provenance["recipe"] == spec.recipe.described()
    assert provenance["store"] == read_json(made.study.manifest("m", "train"))["sha256"]
    for key in ("model", "hookpoint", "lam", "seed"):
        assert provenance[key] == getattr(cell, key)


def test_named_in_a_study(variant):
    raw = load_yaml(DEFAULT_CONFIG.with_name("smoke.yaml"))
    raw["grid"].append(raw["grid"][0] | {"variant": variant})
    study = Study.from_dict(raw)
    cell = next(cell for cell in study.cells if cell.variant == variant)
    assert study.cell_named(cell.path) == cell
    assert f"/{variant}/" in study.metrics(cell)
    with pytest.raises(CellNameError, match="unknown variant"):
        study.cell_named(replace(cell, variant="their_zoo.sparse:Other").path)
    with pytest.raises(CellNameError, match="is no name"):
        Cell.from_path(replace(cell, variant="a:" + 80 * "b").path)
    assert sweep_label(variant, 8) == "TopK, H = 8"
    raw["grid"][-1]["variant"] = "no_such_zoo:TopK"
    with pytest.raises(
        ConfigError, match=rf"grid\.{len(raw['grid']) - 1}\.variant.*no package 'no_such_zoo'"
    ):
        Study.from_dict(raw)
