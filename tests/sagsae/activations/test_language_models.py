"""Folders load completely or not at all."""

import copy
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from sagsae.activations.language_models import (
    LanguageModelError,
    identity_of,
    load_language_model,
)
from tests.sagsae.evaluation.samples import tiny_model


@pytest.fixture
def saved(tmp_path):
    """A tiny random model, and the folder it was saved to."""
    model = tiny_model("gpt_neox")
    model.config.attention_dropout = model.config.hidden_dropout = 0.5
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    return model, folder


def test_the_same_model_comes_back_for_inference(saved):
    model, folder = saved
    loaded = load_language_model(folder, "float32")
    ids = torch.arange(20).reshape(2, 10)
    assert torch.equal(loaded(ids).logits, model(ids).logits)  # so dropout is off, too
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())


def without_a_weight(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["gpt_neox.layers.1.mlp.dense_4h_to_h.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def misshapen(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))


def pickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def written(name, content):
    return lambda folder: (folder / name).write_bytes(content)


UNKNOWN = b'{"model_type": "no-such-architecture"}'


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_a_weight, r"model\.safetensors lacks 1 .*layers\.1\.mlp"),
        (misshapen, "dense_h_to_4h.*do not belong together"),
        (written("model.safetensors", b"torn"), r"cannot be loaded .*model\.safetensors"),
        (written("config.json", b"{"), r"cannot be loaded .*config\.json"),
        (written("config.json", UNKNOWN), r"cannot be loaded .*config\.json"),
        (pickled, r"no \*\.safetensors weights in this folder"),
        (lambda folder: (folder / "config.json").unlink(), r"no model folder, with a config\.json"),
        (shutil.rmtree, "no model folder"),
    ],
)
def test_a_damaged_or_incomplete_folder_is_named(saved, damage, message):
    _, folder = saved
    damage(folder)
    with pytest.raises(LanguageModelError, match=f"(?s){folder}: .*{message}"):
        load_language_model(folder)


def test_half_precision_scalars_and_turned_buffers_have_an_identity():
    """Of bfloat16 bytes, a scalar and a tensor that is not contiguous."""
    model = tiny_model("llama")
    half = copy.deepcopy(model).bfloat16()
    half.register_buffer("scalar", torch.tensor(2.0))
    half.register_buffer("turned", torch.arange(6).view(2, 3).T)
    assert identity_of(half) == identity_of(copy.deepcopy(half)) != identity_of(model)
