"""Rows as safetensors files: what is in them, how they are checked, and who reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sagsae.activations import Store, iterate
from sagsae.exchange.shards import INDEX, export_shards, read_shards
from sagsae.files import read_signed_json
from tests.peers import environment
from tests.sagsae.activations.activation_samples import contents, small_config, write_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(write_store(tmp_path / "store", small_config()))


def test_every_row_is_there_in_order(store: Store, tmp_path: Path) -> None:
    names = export_shards(store, tmp_path / "rows")
    assert names == [f"rows-{i:05d}-of-00004.safetensors" for i in range(4)]
    whole = {name: torch.cat(list(iterate(store, name, 64))) for name in ("attn", "resid")}
    parts = [load_file(tmp_path / "rows" / name) for name in names]
    for name, rows in whole.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), rows)
        assert torch.equal(torch.cat(list(read_shards(tmp_path / "rows", name, 50))), rows)
    assert {len(x) for x in list(read_shards(tmp_path / "rows", "attn", 50))[:-1]} == {50}
    for block, part in enumerate(parts):
        for name, values in store.read_tokens(block).items():
            assert part[name].tolist() == values.tolist()
    index = read_signed_json(tmp_path / "rows" / INDEX)
    assert index["store"] == store.digest()
    assert index["scale"]["attn"] == store.statistics("attn").scale


def test_a_conversion_that_ended_early_goes_on(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    export_shards(store, folder)
    sound = contents(folder)
    (folder / INDEX).unlink()
    second = folder / "rows-00001-of-00004.safetensors"
    second.unlink()
    kept = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    export_shards(store, folder)
    assert contents(folder) == sound
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept
    with pytest.raises(FileNotFoundError):
        next(read_shards(tmp_path / "absent", "attn", 10))


def test_damage_and_other_stores_are_refused(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    export_shards(store, folder)
    other = Store.open(write_store(tmp_path / "other", small_config(seed=8)))
    with pytest.raises(ValueError, match="rows of another store"):
        export_shards(other, folder)
    with pytest.raises(KeyError, match="attn"):
        next(read_shards(folder, "mlp", 10))
    sound = contents(folder)
    file = folder / "rows-00002-of-00004.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"rows-00002.* was changed"):
        list(read_shards(folder, "attn", 64))
    export_shards(store, folder)
    assert contents(folder) == sound


def test_dictionary_learning_trains_on_them(store: Store, tmp_path: Path) -> None:
    """It has no reader of cached activations; `trainSAE` takes any iterator of batches."""
    export_shards(store, tmp_path / "rows")
    said = environment.run("rows_dictionary_learning.py", tmp_path / "rows", "resid")
    found = json.loads(said)
    assert found["shape"] == [64, 12]
    assert found["rows"] == 256
    assert 0 < found["last_loss"] < found["first_loss"]
