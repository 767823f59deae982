"""Folders load completely or not at all."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sagsae.activations.language_models import LanguageModelError, load_language_model
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


def test_missing_weights_are_not_made_up(saved):
    _, folder = saved
    weights = load_file(folder / "model.safetensors")
    del weights["gpt_neox.layers.1.mlp.dense_4h_to_h.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        LanguageModelError, match=r"model\.safetensors lacks 1 .*layers\.1\.mlp"
    ) as e:
        load_language_model(folder)
    assert str(folder) in str(e.value)


def test_misshapen_weights_are_refused(saved):
    _, folder = saved
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(LanguageModelError, match=r"dense_h_to_4h.*do not belong together"):
        load_language_model(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"torn"),
        ("config.json", b"{"),
        ("config.json", b'{"model_type": "no-such-architecture"}'),
    ],
)
def test_damaged_files(saved, name, content):
    _, folder = saved
    (folder / name).write_bytes(content)
    with pytest.raises(LanguageModelError, match="the model cannot be loaded") as error:
        load_language_model(folder)
    assert str(folder) in str(error.value)
    assert name in str(error.value)


def test_pickles_are_not_read(saved):
    model, folder = saved
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(LanguageModelError, match=r"no \*\.safetensors weights in this folder"):
        load_language_model(folder)


def test_missing_folder_and_configuration(saved):
    _, folder = saved
    with pytest.raises(LanguageModelError, match="no model folder"):
        load_language_model(folder / "nowhere")
    (folder / "config.json").unlink()
    with pytest.raises(LanguageModelError, match=r"no model folder, with a config\.json"):
        load_language_model(folder)
