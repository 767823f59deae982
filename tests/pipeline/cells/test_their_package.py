"""A cell whose autoencoder is a class of a user's own package: named, trained, saved, evaluated."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from pipeline.analysis.numbers import sweep_label
from pipeline.cells.evaluate import evaluate_cell
from pipeline.cells.train import train_cell
from pipeline.jobs.json_files import digest, read_json
from pipeline.study.cell import Cell
from pipeline.study.sections import CellNameError, ConfigError
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG, load_yaml
from tests.pipeline.tiny_study import HIDDEN, make_tiny_study, measured
from tests.their_package import installed

CPU = torch.device("cpu")


@pytest.fixture
def variant(tmp_path, monkeypatch):
    with installed(tmp_path / "site", monkeypatch) as name:
        yield f"{name}:TopK"


def test_trained_saved_and_evaluated(variant, tmp_path):
    (tmp_path / "study").mkdir()
    tiny = make_tiny_study(tmp_path / "study", "gpt_neox")
    baselines = measured(tiny, tiny.root / "baselines" / "tiny.json")
    first = next(cell for cell in tiny.study.cells if cell.hookpoint == "resid")
    cell = Cell.from_path(replace(first, variant=variant).path)
    assert cell.variant == variant
    spec = tiny.study.train_spec(cell)
    training = spec.training.model_copy(update={"tokens": 64 * 40, "batch_size": 64})
    spec = spec.model_copy(update={"training": training})
    weights = []
    for name in ("one", "two"):
        sae, record = train_cell(spec, tiny.manifest("train"), CPU, tmp_path / f"{name}.checkpoint")
        sae.save(tmp_path / name)
        weights.append((tmp_path / name).read_bytes())
    assert weights[0] == weights[1]
    rows = record["course"]["history"]
    assert rows[-1]["reconstruction"] < rows[0]["reconstruction"]
    with safe_open(tmp_path / "one", framework="pt") as file:
        header = json.loads(file.metadata()["autoencoder"])
    assert (header["variant"], header["d"], header["width"]) == (variant, HIDDEN, cell.width)
    provenance = header["provenance"]
    assert provenance["versions"]["torch"] == torch.__version__
    assert provenance["recipe"] == spec.recipe.described()
    assert (
        provenance["store"]
        == record["made_from"]["store"]
        == read_json(tiny.manifest("train"))["sha256"]
    )
    for key in ("model", "hookpoint", "lam", "seed"):
        assert provenance[key] == getattr(cell, key)
    metrics, latents = evaluate_cell(
        spec=tiny.study.evaluate_spec(cell),
        cell=cell,
        train_info=record,
        weights=tmp_path / "one",
        heldout_manifest=tiny.manifest("heldout"),
        baselines=baselines,
        asset=tiny.asset,
        device=CPU,
    )
    assert metrics["l0"] == 4
    assert (metrics["parameters_per_latent"], metrics["break_even_share"]) == (2 * HIDDEN, None)
    assert metrics["made_from"]["train"] == digest(spec)
    assert len(latents) > 0


def test_named_in_a_study(variant):
    raw = load_yaml(DEFAULT_CONFIG.with_name("smoke.yaml"))
    raw["grid"][0]["variant"] = variant
    study = Study.from_dict(raw)
    cell = next(cell for cell in study.cells if cell.variant == variant)
    text = cell.words
    assert study.cell_named(**text) == cell
    assert f"/{variant}/" in study.metrics(cell)
    with pytest.raises(CellNameError, match="unknown variant"):
        study.cell_named(**text | {"variant": "their_zoo.sparse:Other"})
    with pytest.raises(CellNameError, match="is no name"):
        Cell.from_path(replace(cell, variant="a:" + 80 * "b").path)
    assert sweep_label(variant, 8) == "TopK, H = 8"
    raw["grid"][0]["variant"] = "no_such_zoo:TopK"
    with pytest.raises(ConfigError, match=r"grid\.0\.variant.*no package 'no_such_zoo'"):
        Study.from_dict(raw)
