"""``sagsae.load`` of files, folders and repositories of the hub."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import sagsae
from sagsae.autoencoders.gated import Gated
from sagsae.autoencoders.relu import Relu
from sagsae.autoencoders.weights import build
from sagsae.training.recipe import uses
from tests.sagsae.samples import sparse_rows

CELL = "m/resid/gated/w12_lam0.1_seed0"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder as for the hub, with one cell."""
    sae = build("gated", 8, 12, 0.5)
    sae.params["b_gate"].fill_(3)
    (tmp_path / "repo" / CELL).mkdir(parents=True)
    sae.save(tmp_path / "repo" / CELL / "sae.safetensors")
    return tmp_path / "repo"


def test_a_file_its_folder_and_a_cell_below_a_folder(folder):
    for found in (
        sagsae.load(folder / CELL / "sae.safetensors"),
        sagsae.load(str(folder / CELL)),
        sagsae.load(folder, CELL),
    ):
        assert (found.name, found.width, found.scale) == ("gated", 12, 0.5)
        assert torch.equal(found.params["b_gate"], torch.full((12,), 3.0))


@pytest.mark.parametrize("revision", [None, "v1"])
def test_a_repository_of_the_hub(folder, monkeypatch, revision):
    """Of ours, and of SAELens: its two files are asked for, and nothing else of the repository."""
    sae = build("gated", 8, 12, 0.5)
    sae.params["W_dec"].copy_(torch.eye(12, 8) + 1)
    sae.constrain()
    sagsae.export_saelens(sae, folder / "theirs")
    calls = []

    def download(repo, *, revision, allow_patterns):
        calls.append((repo, revision))
        assert all(pattern.endswith((".json", ".safetensors", ".pt")) for pattern in allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert sagsae.load("someone/saes", CELL, revision=revision).width == 12
    assert sagsae.load("someone/saes", "theirs", revision=revision).width == 12
    with pytest.raises(FileNotFoundError, match="none of other/sae"):
        sagsae.load("someone/saes", "other", revision=revision)
    assert calls == [("someone/saes", revision)] * 3


def test_without_a_network_the_message_says_what_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match="someone/saes: no such folder here, and no autoencoder a/b"
    ):
        sagsae.load("someone/saes", "a/b")
    with pytest.raises(FileNotFoundError, match="at revision v1"):
        sagsae.load("someone/saes", revision="v1")


def test_no_module_is_imported_at_a_file_s_word(folder, tmp_path, monkeypatch):
    (tmp_path / "hostile_package.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    path, own = folder / CELL / "sae.safetensors", build("gated", 8, 12)
    own.name = "hostile_package:Class"
    own.save(path)
    for source, cell in ((path, ""), (folder, CELL)):
        with pytest.raises(ImportError, match=r"hostile_package:Class, .* load\(\.\.\., variant="):
            sagsae.load(source, cell)
        assert "hostile_package" not in sys.modules
        again = sagsae.load(source, cell, variant=Gated)
        assert (type(again), again.name) == (Gated, "hostile_package:Class")
    with pytest.raises(ValueError, match="holds"):
        sagsae.load(path, variant=Relu)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("matryoshka_batchtopk", {"k": 3, "matryoshka_levels": (0.5, 1.0)}),
        ("matryoshka_absbatchtopk", {"k": 3, "level_reduction": "mean"}),
        ("jumprelu", {"lam": 0.1, "bandwidth": 0.3}),
        ("jumprelu", {"lam": 0.1, "bandwidth": 0.3, "threshold_parameter": "log"}),
        ("gated", {"lam": 0.1, "auxiliary_decoder": "trained"}),
        ("relu", {"lam": 0.1, "decoder_norm": "free"}),
    ],
)
def test_the_loss_of_a_loaded_autoencoder_is_the_trained_one(name, settings, tmp_path):
    rows = sparse_rows(640, 0)
    how = {"batch_size": 64, "device": "cpu", "auxk_coefficient": 0.0, "threshold_init": 0.1}
    how = {key: value for key, value in how.items() if uses(name, key)}
    sae, _ = sagsae.train(rows, name, 12, **how | settings)
    sae.save(tmp_path / "sae.safetensors")
    again, x = sagsae.load(tmp_path / "sae.safetensors"), rows[:64] * sae.scale
    knob = settings.get("k") or settings["lam"]
    found, expected = again.loss(x, knob), sae.loss(x, knob)
    torch.testing.assert_close(found, expected)
    gradients = [
        torch.autograd.grad(sum(terms.values()), list(each.parameters()), allow_unused=True)
        for terms, each in ((found, again), (expected, sae))
    ]
    torch.testing.assert_close(*gradients)
