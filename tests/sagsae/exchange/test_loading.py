"""``sagsae.load`` of files, folders and repositories of the hub."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import sagsae
from sagsae.autoencoders.storage import build

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


@pytest.mark.parametrize(
    ("revision", "asked"),
    [(None, (f"{CELL}/sae.safetensors", None)), ("v1", (f"{CELL}/sae.safetensors", "v1"))],
)
def test_a_repository_of_the_hub(folder, monkeypatch, revision, asked):
    calls = []

    def download(repo, name, *, revision):
        calls.append((repo, name, revision))
        return str(folder / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert sagsae.load("someone/saes", CELL, revision=revision).width == 12
    assert calls == [("someone/saes", *asked)]


def test_without_a_network_the_message_says_what_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"someone/saes: no such folder here, and a/b/sae\.saf"
    ):
        sagsae.load("someone/saes", "a/b")
    with pytest.raises(FileNotFoundError, match="at revision v1"):
        sagsae.load("someone/saes", revision="v1")
