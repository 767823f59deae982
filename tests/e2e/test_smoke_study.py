"""The whole workflow on tiny random models of the paper's two architectures."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from safetensors.torch import load_file

from pipeline.analysis.figure import figures_of
from pipeline.data.tokenise import open_tokens
from pipeline.study.cell import Cell
from pipeline.study.curves import read_curve
from sagsae.activations.language_models import load_language_model
from sagsae.autoencoders.weights import load

MODELS = ["tiny-gpt-neox", "tiny-smollm3"]


def metrics(smoke, cell: Cell) -> dict:
    return json.loads(smoke.path(smoke.study.metrics(cell)).read_text())


def test_every_cell_has_metrics_of_its_own(smoke):
    assert len(smoke.study.cells) == 29
    for cell in smoke.study.cells:
        found = metrics(smoke, cell)
        assert Cell(**found["cell"]) == cell
        assert found["training"]["tokens"] == 65536
        assert found["eval_tokens"] == 8192
        assert 0 < found["l0"] < cell.width
        assert 0.2 < found["r2"] < 1


def test_metrics_follow_from_weights_and_store(smoke):
    cell = next(c for c in smoke.study.cells if c.variant == "sagsae_sym")
    found = metrics(smoke, cell)
    folder = smoke.entry(smoke.study.manifest(cell.model, "heldout"))
    bits = zarr.open_group(folder / "data.zarr", mode="r")[cell.hookpoint][:]
    x = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16).double()
    sae = load(smoke.path(smoke.study.cell_file(cell, "sae.safetensors"))).double()
    z = sae.code(x * sae.scale)
    sse = (x - sae.reconstruct(z).detach() / sae.scale).square().sum()
    sst = (x - x.mean(0)).square().sum()
    assert found["r2"] == pytest.approx(float(1 - sse / sst), abs=1e-4)
    assert found["l0"] == pytest.approx(float((z != 0).sum(1).double().mean()), rel=1e-3)
    counts = load_file(smoke.path(smoke.study.cell_file(cell, "latents.safetensors")))
    assert int((counts["n_pos"] - (z > 0).sum(0)).abs().max()) <= 8
    assert int((counts["n_neg"] - (z < 0).sum(0)).abs().max()) <= 8
    assert int((z < 0).sum()) > 1000


@pytest.mark.parametrize("model", MODELS)
def test_stored_rows_are_the_models_own_activations(smoke, model):
    """Block 0, brought back into reading order, against the model's own hidden states."""
    study = smoke.study
    store = smoke.entry(study.manifest(model, "train"))
    group = zarr.open_group(store / "data.zarr", mode="r")
    rows, length = study.config.dump.rows_per_block, study.config.text.context_length
    order = np.argsort(np.random.default_rng([study.config.text.seed, 0]).permutation(rows))
    position = group["position"][:rows][order]
    token = group["token_id"][:rows][order]
    tokens = open_tokens(smoke.path(study.tokens(model, "train")))
    ids = torch.from_numpy(tokens.input_ids[:8]).long()
    kept = 8 * (length - 1)
    assert position[:kept].tolist() == list(range(1, length)) * 8
    assert token[:kept].tolist() == ids[:, 1:].flatten().tolist()
    folder = smoke.entry(study.asset(model)) / "model"
    lm = load_language_model(folder, torch.bfloat16, torch.device("cpu"))
    layer = study.models[model].layer
    with torch.no_grad():
        hidden = lm(ids, output_hidden_states=True).hidden_states
    into, out = hidden[layer], hidden[layer + 1]

    def stored(name: str) -> torch.Tensor:
        bits = group[name][:rows][order][:kept].view(np.int16)
        return torch.from_numpy(bits).view(torch.bfloat16).float().view(8, length - 1, -1)

    torch.testing.assert_close(stored("resid"), out[:, 1:].float(), rtol=0.02, atol=0.02)
    added = stored("attn") + stored("mlp_out")
    torch.testing.assert_close(added, (out - into)[:, 1:].float(), rtol=0.05, atol=0.05)
    assert stored("attn").abs().mean() > 0.01
    assert stored("mlp_out").abs().mean() > 0.001


@pytest.mark.parametrize("model", MODELS)
def test_baselines_of_each_hookpoint(smoke, model):
    found = json.loads(smoke.path(smoke.study.baselines(model)).read_text())
    assert set(found["hookpoints"]) == {"mlp_out", "attn", "resid"}
    vocabulary = json.loads(smoke.path(smoke.study.asset(model)).read_text())["vocab_size"]
    assert abs(found["loss"] - math.log(vocabulary)) < 1.0
    clean = {item["ce_clean"] for item in found["hookpoints"].values()}
    assert len(clean) == 1
    assert found["hookpoints"]["resid"]["ce_zero"] not in clean
    assert found["resume_note"] == ""


def test_tables_hold_every_cell(smoke):
    cells = pd.read_csv(smoke.path(smoke.study.table("cells.csv")))
    assert len(cells) == 29
    row = cells[(cells.model == MODELS[0]) & (cells.hookpoint == "attn") & (cells.lam == 0.1)]
    for _, one in row.iterrows():
        cell = Cell(
            **{f: one[f] for f in ("model", "hookpoint", "variant", "width", "lam", "seed")}
        )
        assert one.r2 == metrics(smoke, cell)["r2"]
    comparison = pd.read_csv(smoke.path(smoke.study.table("comparison.csv")))
    assert len(comparison) == 6


def test_figures_and_report_are_there(smoke):
    names = figures_of(smoke.study.scope)
    assert {"figure_r2_variants", "figure_curves"} <= set(names)
    for name in names:
        png = smoke.path(smoke.study.figure(name)).read_bytes()
        assert png.startswith(b"\x89PNG")
        assert len(png) > 20_000
    report = smoke.path(smoke.study.report).read_text()
    assert "nothing about autoencoders" in report
    assert report.count("data:image/png;base64,") + report.count("<svg") >= len(names)


def test_every_cell_has_its_training_curve(smoke):
    steps = 65536 // smoke.study.config.training.batch_size
    for cell in smoke.study.cells:
        curve, _ = read_curve(smoke.path(smoke.study.cell_file(cell, "curve.parquet")))
        assert curve["step"].tolist() == [*range(0, steps - 1, 50), steps - 1]
        assert curve["tokens"].iloc[-1] == metrics(smoke, cell)["training"]["tokens"]
        assert curve["reconstruction"].iloc[-1] < curve["reconstruction"].iloc[0]


def test_the_run_says_how_far_it_is_and_where_things_are(smoke):
    for text in ("tokens, ", "done in", "dump tiny-gpt-neox-train", "results/smoke/report.html"):
        assert text in smoke.output, text
    log = smoke.path(smoke.study.log("dump", "tiny-smollm3-train"))
    assert "model tokens/s" in log.read_text()
