"""Transcoders of two layers, from the store to metrics and to all at once, by real stages."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import sagsae
from pipeline.cells.replaced import main as replace_all
from pipeline.data.fetch import load_asset
from pipeline.data.manifests import open_store
from pipeline.jobs.json_files import read_json
from pipeline.study.replaced import ReplacedRun
from sagsae.activations.stream import iterate
from tests.helpers.real_study import CONFIG, make_whole_study

MODEL = {key: value for key, value in CONFIG["models"][0].items() if key != "layer"}
SOURCE = MODEL["source"] | {"architecture": "gemma3_text"}
FAMILY = {"variant": "batchtopk", "width": 24, "ks": [4]}
CHANGES = {
    "models": [MODEL | {"source": SOURCE, "layers": [0, 1]}],
    "hookpoints": ["mlp_in->mlp_added", "mlp_added"],
    "recipes": {"skip": {"training": {"skip": True}}},
    "grid": [
        FAMILY | {"recipes": ["default", "skip"], "hookpoints": ["mlp_in->mlp_added"]},
        FAMILY | {"hookpoints": ["mlp_added"]},
    ],
    "replaced": {},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_whole_study(tmp_path_factory.mktemp("crossed"), **CHANGES)


def test_cells_predict_the_other_hookpoint_and_are_measured_on_it(whole):
    study = whole.study
    assert len(study.cells) == 6
    store = open_store(Path(study.manifest("m", "heldout")))
    baselines = read_json(Path(study.baselines("m")))
    for cell in study.cells:
        metrics = read_json(study.metrics(cell))
        sae = sagsae.load(study.cell_file(cell, "sae.safetensors"))
        place = cell.place
        x, y = (
            torch.cat(list(iterate(store, name, 99))).float()
            for name in (place.reads, place.predicts)
        )
        error = (y - sae(x)).double().square().sum()
        r2 = 1 - float(error / (y - y.mean(0)).double().square().sum())
        assert metrics["r2"] == pytest.approx(r2, abs=1e-4)
        zero = baselines["hookpoints"][place.predicts]["ce_zero"]
        assert metrics["ce_zero"] == zero != metrics["ce_sae"]
        if place.target:
            assert metrics["linear_r2"] == baselines["linear"][place.name]
            assert sae.target.skip == (cell.recipe == "skip")
        else:
            assert "linear_r2" not in metrics


def test_all_layers_at_once_cost_what_the_model_loses_with_them_in_it(whole, tmp_path):
    study = whole.study
    crossings = {"m/mlp_in-mlp_added", "m/mlp_in-mlp_added@skip"}
    assert study.looks["replaced"].keys() == {"m/mlp_added", *crossings}
    for name, spec in study.looks["replaced"].items():
        out = tmp_path / f"{name}.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        known = study.manifest("m", "heldout"), study.baselines("m"), study.asset("m")
        replace_all(spec, whole.root / "cells", *map(Path, known), out, "cpu")
        run = ReplacedRun.read(out)
        (together,) = run.sets
        assert run.layers == [0, 1]
        metrics = [read_json(study.metrics(used.cell)) for used in together.cells]
        assert together.ce_each == [known["ce_sae"] for known in metrics]
        if name == "m/mlp_in-mlp_added@skip":
            expected = by_library(study, spec.cells)
            assert together.ce_all == pytest.approx(expected, rel=1e-5)
        assert together.ce_all not in together.ce_each
        assert run.ce_zero != pytest.approx(run.ce_clean)


def by_library(study, cells) -> float:
    """Cross entropy with the transcoders of some cells in the model, by `sagsae.replaced`."""
    from pipeline.data.tokenise import open_tokens

    model = load_asset(Path(study.asset("m")), "bfloat16", torch.device("cpu"))
    ids = torch.from_numpy(open_tokens(Path(study.tokens("m", "heldout"))).input_ids[:4]).long()
    store = open_store(Path(study.manifest("m", "train")))
    kept = sagsae.kept_positions(model, ids, store)
    transcoders = {
        cell.place.layer: sagsae.load(study.cell_file(cell, "sae.safetensors")) for cell in cells
    }
    with torch.no_grad(), sagsae.replaced(model, transcoders, kept):
        logits = model(ids).logits[:, :-1].float()
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return float(losses[kept[:, :-1]].double().mean())
