"""Metrics of each source of text, against the store's rows and the model's own logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pipeline.data.baselines import read_baselines
from pipeline.data.tokenise import open_tokens
from pipeline.jobs.json_files import read_json, write_json
from sagsae.activations.language_models import load_language_model
from sagsae.activations.store import Store
from sagsae.activations.stream import iterate
from tests.pipeline.cells.test_evaluate import Trained, evaluated, make_trained
from tests.pipeline.tiny_study import CONTEXTS, make_tiny_study

FIRST = {"news": 0, "rare": 40, "chat": 41, "late": 100_000}
"""First document of each source. Of `rare` there are 5 tokens, of `late` none."""
NAMES = list(FIRST)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    return make_trained(make_tiny_study(tmp_path_factory.mktemp("sources"), "gpt_neox", FIRST))


@pytest.fixture(scope="module")
def measured(trained) -> dict[str, Any]:
    return evaluated(trained)[0]


def source_of(doc_id: np.ndarray) -> np.ndarray:
    """Names by a loop over the sources."""
    found = np.full(doc_id.shape, NAMES[0], dtype=object)
    for name, first in FIRST.items():
        found[doc_id >= first] = name
    return found


def sources_of_rows(store: Store) -> np.ndarray:
    return source_of(np.concatenate([store.read_tokens(b)["doc_id"] for b in store.blocks]))


def test_reconstruction_of_each_source(trained, measured):
    store, sae = trained.study.store(), trained.sae
    x = torch.cat(list(iterate(store, "resid", 64))).double()
    z = sae.code(x.float() * sae.scale)
    error = (x - sae.reconstruct(z).detach().double() / sae.scale).square().sum(1)
    rows, train_rows = (
        sources_of_rows(trained.study.store(split)) for split in ("heldout", "train")
    )
    assert list(measured["sources"]) == NAMES
    for name, record in measured["sources"].items():
        own = torch.from_numpy(rows == name)
        assert record["rows"] == int(own.sum())
        assert record["share"] == pytest.approx(float(own.double().mean()))
        assert record["train_rows"] == (train_rows == name).sum()
        assert record["train_share"] == pytest.approx((train_rows == name).mean())
        if name == "late":
            assert record["rows"] == record["train_rows"] == 0
            assert record["r2"] is record["r2_common"] is record["l0"] is None
            continue
        sse, mean = float(error[own].sum()), x[own].mean(0)
        sst = float((x[own] - mean).square().sum())
        assert record["sse"] == pytest.approx(sse, rel=1e-5)
        assert record["r2"] == pytest.approx(1 - sse / sst, rel=1e-4)
        common = float((x[own] - x.mean(0)).square().sum())
        assert record["r2_common"] == pytest.approx(1 - sse / common, rel=1e-4)
        assert record["l0"] == pytest.approx(float((z[own] != 0).sum(1).double().mean()))
    parts = measured["sources"].values()
    assert sum(record["sse"] for record in parts) == pytest.approx(measured["sse"])
    assert sum(record["rows"] for record in parts) == measured["eval_tokens"]


def test_losses_belong_to_the_source_of_the_token_that_is_predicted(trained, measured):
    study, sae = trained.study, trained.sae
    found, tokens = read_baselines(trained.arguments["baselines"]), open_tokens(study.tokens)
    model = load_language_model(study.root / "model", torch.bfloat16)
    ids = torch.from_numpy(tokens.input_ids[:CONTEXTS]).long()
    kept = found.contexts.kept
    mean = torch.from_numpy(study.store("train").statistics("resid").mean).bfloat16()
    replacements = {
        "clean": lambda x: x,
        "zero": torch.zeros_like,
        "mean": lambda x: mean.expand_as(x),
        "sae": lambda x: sae.reconstruct(sae.code(x.float() * sae.scale)) / sae.scale,
    }
    losses = {}
    for name, replace in replacements.items():

        def hook(module, inputs, output, replace=replace):
            return torch.where(kept[..., None], replace(output).to(output.dtype), output)

        handle = model.gpt_neox.layers[2].register_forward_hook(hook)
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits.double()
        handle.remove()
        losses[name] = -logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
    predicted = source_of(tokens.doc_id[:CONTEXTS, 1:])
    assert any(len(set(row)) > 1 for row in predicted), "contexts mix documents of several sources"
    counted = {}
    for name, record in measured["sources"].items():
        own = kept[:, :-1] & torch.from_numpy(predicted == name)
        counted[name] = record["ce_tokens"]
        assert record["ce_tokens"] == int(own.sum())
        if not own.any():
            assert record["ce_sae"] is record["loss_recovered"] is None
            continue
        ce = {kind: float(values[own].mean()) for kind, values in losses.items()}
        for kind, value in ce.items():
            assert record[f"ce_{kind}"] == pytest.approx(value, rel=1e-5)
        recovered = (record["ce_zero"] - record["ce_sae"]) / (
            record["ce_zero"] - record["ce_clean"]
        )
        assert record["loss_recovered"] == pytest.approx(recovered)
    assert sum(counted.values()) == measured["ce_tokens"]
    assert counted["late"] == 0
    assert min(counted["news"], counted["chat"]) > 5
    whole = {kind: float(values[kept[:, :-1]].mean()) for kind, values in losses.items()}
    for kind, value in whole.items():
        assert measured[f"ce_{kind}"] == pytest.approx(value, rel=1e-5)
    assert whole["clean"] != pytest.approx(whole["sae"], abs=1e-3)
    for name, kind in (("loss_recovered", "zero"), ("loss_recovered_mean", "mean")):
        share = (whole[kind] - whole["sae"]) / (whole[kind] - whole["clean"])
        assert measured[name] == pytest.approx(share, rel=1e-3)


def test_sources_change_nothing_else(trained, measured, tmp_path):
    """Baselines without sources, as those of one source are, give the same cell."""
    baselines = trained.arguments["baselines"]
    record = read_json(baselines)
    del record["sources"]
    write_json(tmp_path / "tiny.json", record)
    beside = baselines.with_suffix(".safetensors")
    (tmp_path / beside.name).write_bytes(beside.read_bytes())
    found, _ = evaluated(trained, baselines=tmp_path / "tiny.json")
    assert found == measured | {"sources": {}}
