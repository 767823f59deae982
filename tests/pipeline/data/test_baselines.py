"""Baselines of tiny models against plain forward passes; the file and its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.data.baselines import main as run_baselines
from pipeline.data.baselines import read_baselines
from pipeline.data.tokenise import open_tokens
from pipeline.jobs.cache import LOSSES
from sagsae.activations.language_models import load_language_model
from tests.pipeline.tiny_study import CONTEXTS, TinyStudy, make_tiny_study, measured


@pytest.fixture(scope="module", params=["gpt_neox", "gemma3_text"])
def study(request, tmp_path_factory) -> TinyStudy:
    return make_tiny_study(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def out(study) -> Path:
    return measured(study, study.root / "baselines" / "tiny.json")


def losses_of(model, ids):
    """[n, L - 1] float64 losses from whole logits."""
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits.double()
    chosen = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])
    return -chosen.squeeze(-1).numpy()


def test_losses_agree_with_plain_forward_passes(study, out):
    record, found = json.loads(out.read_text()), read_baselines(out)
    model = load_language_model(study.root / "model", torch.bfloat16)
    ids = torch.from_numpy(open_tokens(study.tokens).input_ids[:CONTEXTS]).long()
    losses, kept = losses_of(model, ids), found.contexts.kept
    assert record["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert torch.equal(found.contexts.input_ids.long(), ids)
    for name, item in found.ablations.items():
        mean = torch.from_numpy(study.store("train").statistics(name).mean).bfloat16()
        for ablation, value in (("zero", torch.zeros_like(mean)), ("mean", mean)):

            def hook(module, inputs, output, value=value):
                return torch.where(kept[..., None], value, output)

            module = model.get_submodule(item.hookpoint.module)
            handle = module.register_forward_hook(hook)
            expected = losses_of(model, ids)[kept[:, :-1].numpy()]
            handle.remove()
            sums = getattr(item, ablation)
            assert sums.tokens == len(expected)
            assert sums.total == pytest.approx(expected.sum(), rel=1e-5), (name, ablation)
        clean = losses[kept[:, :-1].numpy()].sum()
        assert item.clean.total == pytest.approx(clean, rel=1e-5)
        assert abs(item.zero.total - clean) / clean > 1e-3


def test_altered_tensors_are_refused(study, out, tmp_path):
    copy = tmp_path / "tiny.json"
    copy.write_bytes(out.read_bytes())
    tensors = load_file(out.with_suffix(".safetensors"))
    tensors["kept"][0, 3] ^= True
    save_file(tensors, tmp_path / out.with_suffix(".safetensors").name)
    with pytest.raises(ValueError, match="absent or altered"):
        read_baselines(copy)
    (tmp_path / out.with_suffix(".safetensors").name).unlink()
    with pytest.raises(ValueError, match="absent or altered"):
        read_baselines(copy)


def test_wrong_or_too_few_tokens_are_refused(study, tmp_path):
    arguments = study.baseline_arguments(tmp_path / "tiny.json")
    with pytest.raises(ValueError, match="not the tokens"):
        run_baselines(**arguments | {"tokens": study.record("train")}, device="cpu")
    arguments["spec"] = arguments["spec"].model_copy(update={"lr_contexts": 1000})
    with pytest.raises(ValueError, match="lr_contexts asks for 1000"):
        run_baselines(**arguments, device="cpu")
    assert not (tmp_path / "tiny.json").exists()
    assert not list(tmp_path.rglob(LOSSES))
