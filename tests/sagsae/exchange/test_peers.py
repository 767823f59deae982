"""Autoencoders of other libraries' own trainers, here and by those libraries' own loaders."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

import sagsae
from sagsae.exchange.loading import ForeignError, format_of, read_peer
from tests.peers import environment
from tests.sagsae.samples import WIDTH as D
from tests.sagsae.samples import sparse_rows

pytestmark = pytest.mark.long

WORKERS = {"saelens": "train_saelens.py", "dictionary_learning": "train_dictionary_learning.py"}
SAELENS = ["gated", "gated-uncentred", "standard", "jumprelu", "topk", "topk-unscaled", "batchtopk"]
DICTIONARIES = ["GatedAutoEncoder", "AutoEncoder", "AutoEncoderNew", "JumpReluAutoEncoder"]
DICTIONARIES += ["AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"]
ALL = [("saelens", n) for n in SAELENS] + [("dictionary_learning", n) for n in DICTIONARIES]


class Theirs(NamedTuple):
    """What one library trained: the folder of all, the rows, and codes and reconstructions."""

    folder: Path
    x: torch.Tensor
    found: dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> dict[str, Theirs]:
    made = {}
    for format, worker in WORKERS.items():
        folder = tmp_path_factory.mktemp(format)
        x = sparse_rows(512, 3)
        save_file({"x": x}, folder / "rows")
        environment.run(worker, folder / "rows", folder)
        made[format] = Theirs(folder, x, load_file(folder / "out.safetensors"))
    return made


@pytest.mark.slow
@pytest.mark.parametrize(("format", "name"), ALL)
def test_what_its_own_trainer_made_is_read_exactly(theirs, format, name):
    folder, x, found = theirs[format]
    f, x_hat = found[f"{name}.f"], found[f"{name}.x_hat"]
    sae = read_peer(folder / name, format)
    z = sae.code(x * sae.scale)
    assert 0 < int((f != 0).sum()) < f.numel()
    same = ((z != 0) == (f != 0)).all(1)
    assert float(same.double().mean()) > 0.99
    torch.testing.assert_close(sae(x)[same], x_hat[same], rtol=1e-4, atol=1e-4)
    rows = sae.W_dec.norm(dim=1)
    if name != "topk-unscaled":  # it ranks its latents without their norms
        torch.testing.assert_close(rows, torch.ones(len(rows)), rtol=1e-5, atol=1e-5)
    assert sae.provenance["foreign"]["format"] == format
    assert format_of(folder / name) == format


def saelens_folder(folder: Path, config: dict[str, Any], **tensors: torch.Tensor) -> Path:
    """A folder of SAELens's format, of a standard SAE where nothing else is said."""
    W = torch.nn.functional.normalize(torch.randn(12, D), dim=1)
    plain = {
        "W_enc": W.T.contiguous(),
        "W_dec": W,
        "b_enc": torch.zeros(12),
        "b_dec": torch.zeros(D),
    }
    folder.mkdir()
    save_file(plain | tensors, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"architecture": "standard"} | config))
    return folder


def test_a_folder_of_an_earlier_saelens(tmp_path):
    folder = saelens_folder(tmp_path / "old", {"activation_fn_str": "relu", "d_in": D})
    x = sparse_rows(64, 1)
    W = load_file(folder / "sae_weights.safetensors")["W_dec"]
    torch.testing.assert_close(sagsae.load(folder)(x), (x @ W.T).relu() @ W)
    top = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}}
    sae = sagsae.load(saelens_folder(tmp_path / "top", top))
    assert int((sae.code(x) > 0).sum(1).max()) == 3


@pytest.mark.parametrize(
    ("config", "tensors", "message"),
    [
        ({"architecture": "temporal"}, {}, "architecture 'temporal' is not known here"),
        ({"normalize_activations": "layer_norm"}, {}, "normalises activations by 'layer_norm'"),
        ({"activation_fn": "tanh-relu"}, {}, "activation 'tanh-relu'"),
        ({"architecture": "gated"}, {}, "tensors of 'gated': see b_enc, b_gate, b_mag, r_mag"),
        ({}, {"extra": torch.ones(2)}, "tensors of 'standard': see extra"),
        ({}, {"b_enc": torch.ones(11)}, r"b_enc is of shape \[11\]|cannot be read"),
        ({}, {"b_dec": torch.full((D,), torch.nan)}, "b_dec .* is not finite"),
        ({"architecture": "topk"}, {}, "cannot be read as an autoencoder of saelens"),
    ],
)
def test_what_is_not_known_says_why(tmp_path, config, tensors, message):
    folder = saelens_folder(tmp_path / "theirs", config, **tensors)
    with pytest.raises(ForeignError, match=f"{folder}: .*{message}"):
        read_peer(folder, "saelens")


def dictionary_folder(folder: Path, state: Any, **trainer: Any) -> Path:
    folder.mkdir()
    torch.save(state, folder / "ae.pt")
    (folder / "config.json").write_text(json.dumps({"trainer": trainer}))
    return folder


class Harmful:
    """Unpickling it would make a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_runs_no_code(tmp_path):
    folder = dictionary_folder(tmp_path / "theirs", {}, dict_class="AutoEncoder")
    (folder / "ae.pt").write_bytes(pickle.dumps(Harmful(tmp_path / "harm")))
    with pytest.raises(ForeignError, match=r"theirs: cannot be read .*UnpicklingError"):
        sagsae.load(folder)
    torch.save({"W_enc": Harmful(tmp_path / "harm")}, folder / "ae.pt")
    with pytest.raises(ForeignError, match="UnpicklingError"):
        sagsae.load(folder)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("state", "trainer", "message"),
    [
        ({"bias": torch.ones(2)}, {"dict_class": "CrossCoder"}, "class 'CrossCoder' is not known"),
        ({"bias": torch.ones(2)}, {"dict_class": "AutoEncoder"}, "see W_dec, W_enc, b_enc"),
        ([torch.ones(2)], {"dict_class": "AutoEncoder"}, "ae.pt holds no tensors by name"),
        ({"bias": torch.ones(2)}, {}, r"cannot be read .*KeyError: 'dict_class'"),
    ],
)
def test_other_dictionaries_say_why(tmp_path, state, trainer, message):
    folder = dictionary_folder(tmp_path / "theirs", state, **trainer)
    with pytest.raises(ForeignError, match=message):
        read_peer(folder, "dictionary_learning")


def test_an_absent_file_is_named(tmp_path):
    folder = dictionary_folder(tmp_path / "theirs", {}, dict_class="AutoEncoder")
    (folder / "config.json").unlink()
    with pytest.raises(ForeignError, match=r"FileNotFoundError.*config\.json"):
        sagsae.load(folder)
    shutil.rmtree(folder)
    with pytest.raises(ForeignError, match="FileNotFoundError"):
        read_peer(folder, "saelens")
    assert format_of(folder) is None
