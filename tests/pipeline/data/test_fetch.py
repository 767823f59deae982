"""Random models and folders become assets; the command line."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.data import fetch as assets
from pipeline.jobs.json_files import digest
from sagsae.activations.language_models import LanguageModelError, load_language_model
from tests.helpers.assets import LLAMA, made_model, model_spec, random_source


def test_random_models_are_reproducible(tmp_path):
    made = []
    for name in ("one", "again"):
        torch.manual_seed(len(made))  # the caller's generator plays no part
        spec = model_spec(random_source())
        made.append(made_model(spec, tmp_path / name / "asset.json"))
    assert made[0] == made[1]


def test_folders_are_used_in_place(tmp_path, monkeypatch):
    made_model(model_spec(random_source()), tmp_path / "mine" / "asset.json")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "study" / "assets" / "asset.json"
    for given, recorded in (
        ("mine/model", "../../mine/model"),
        (str(tmp_path / "mine" / "model"), str(tmp_path / "mine" / "model")),
    ):
        asset = made_model(model_spec({"kind": "path", "path": given}), out)
        assert asset["folder"] == recorded
        assert assets.model_folder(out).resolve() == tmp_path / "mine" / "model"


def test_bad_folders(tmp_path):
    made_model(model_spec(random_source()), tmp_path / "mine" / "asset.json")
    folder = tmp_path / "mine" / "model"
    spec = model_spec({"kind": "path", "path": str(folder)})
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(LanguageModelError, match=f"{folder}: there is no tokenizer"):
        made_model(spec, tmp_path / "asset.json")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(LanguageModelError, match=f"{folder}: there are no .*safetensors"):
        made_model(spec, tmp_path / "asset.json")
    shutil.rmtree(folder)
    with pytest.raises(LanguageModelError, match=f"{folder}: no model folder"):
        made_model(spec, tmp_path / "asset.json")
    assert not (tmp_path / "asset.json").exists()


@pytest.fixture
def true(tmp_path):
    """A folder with tied embeddings, and gains and biases that are not constant."""
    changes = {"tie_word_embeddings": True, "attention_bias": True}
    source = random_source(architecture="llama", parameters=LLAMA | changes)
    made_model(model_spec(source), tmp_path / "true" / "asset.json")
    file = tmp_path / "true" / "model" / "model.safetensors"
    tensors = load_file(file)
    generator = torch.Generator().manual_seed(1)
    for value in (value for value in tensors.values() if value.ndim == 1):
        value += torch.rand(value.shape, generator=generator)
    save_file(tensors, file, metadata={"format": "pt"})
    return file.parent


def test_the_weights_of_a_randomised_model_are_redrawn(true, tmp_path):
    plain = {"kind": "path", "path": str(true)}
    specs = [model_spec(plain | {"randomise": asked}) for asked in (False, True)]
    assert digest(model_spec(plain)) == digest(specs[0]) != digest(specs[1])
    before = (true / "model.safetensors").read_bytes()
    made = []
    for name in ("one", "again"):
        out = tmp_path / name / "asset.json"
        made.append(made_model(specs[1], out))
    assert made[0] == made[1]
    assert (made[0]["folder"], made[0]["d_model"]) == ("model", LLAMA["hidden_size"])
    assert (true / "model.safetensors").read_bytes() == before
    folder = assets.model_folder(tmp_path / "one" / "asset.json")
    assert sorted(path.name for path in folder.iterdir()) == sorted(p.name for p in true.iterdir())
    found, given = (load_file(path / "model.safetensors") for path in (folder, true))
    assert found.keys() == given.keys()
    for name, value in found.items():
        of, n = given[name], value.numel()
        assert not torch.isclose(value, of).any(), name
        assert abs(value.mean() - of.mean()) < 5 * of.std() / n**0.5, name
        assert abs(value.std() / of.std() - 1) < 5 / (2 * n) ** 0.5, name
    model = load_language_model(folder)
    assert model.lm_head.weight is model.model.embed_tokens.weight
