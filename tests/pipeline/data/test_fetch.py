"""Random models and folders become assets; the command line."""

import shutil

import pytest
import torch

from pipeline.data import fetch as assets
from sagsae.language_models import LanguageModelError
from tests.pipeline.data.small_assets import (
    model_spec,
    random_source,
)


def test_random_models_are_reproducible(tmp_path):
    made = []
    for name in ("one", "again"):
        torch.manual_seed(len(made))  # the caller's generator plays no part
        spec = model_spec(random_source())
        made.append(assets.make_model(spec, tmp_path / name / "asset.json"))
    assert made[0] == made[1]


def test_folders_are_used_in_place(tmp_path, monkeypatch):
    assets.make_model(model_spec(random_source()), tmp_path / "mine" / "asset.json")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "study" / "assets" / "asset.json"
    for given, recorded in (
        ("mine/model", "../../mine/model"),
        (str(tmp_path / "mine" / "model"), str(tmp_path / "mine" / "model")),
    ):
        asset = assets.make_model(model_spec({"kind": "path", "path": given}), out)
        assert asset["folder"] == recorded
        assert assets.model_folder(out).resolve() == tmp_path / "mine" / "model"


def test_bad_folders(tmp_path):
    assets.make_model(model_spec(random_source()), tmp_path / "mine" / "asset.json")
    folder = tmp_path / "mine" / "model"
    spec = model_spec({"kind": "path", "path": str(folder)})
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(LanguageModelError, match=f"{folder}: there is no tokenizer"):
        assets.make_model(spec, tmp_path / "asset.json")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(LanguageModelError, match=f"{folder}: there are no .*safetensors"):
        assets.make_model(spec, tmp_path / "asset.json")
    shutil.rmtree(folder)
    with pytest.raises(LanguageModelError, match=f"{folder}: no model folder"):
        assets.make_model(spec, tmp_path / "asset.json")
    assert not (tmp_path / "asset.json").exists()
