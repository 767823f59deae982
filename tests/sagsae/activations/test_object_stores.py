"""Stores of objects: the bytes of a store of files, read the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from activation_samples import block_data, contents, small_config, write_store

from sagsae.activations.layout import StoreConfig, StoreError
from sagsae.activations.storage import Storage, StorageError, storage_at
from sagsae.activations.store import Store, verify_store
from sagsae.activations.stream import ActivationStream, iterate
from sagsae.activations.writer import StoreWriter
from tests.s3_servers import folders, once

LAYOUTS: list[dict[str, Any]] = [
    {},
    {"profile": "disk"},
    {"sharded": True},
    {"dtype": "float32", "sharded": True, "profile": "disk"},
]
CHUNK = "data.zarr/attn/c.2.0"


def config_of(n_blocks: int = 3, **changes: Any) -> StoreConfig:
    """Two hookpoints in blocks of 32 rows in 2 chunks."""
    return small_config(n_blocks=n_blocks, rows_per_block=32, **changes)


@pytest.fixture
def place(s3: str) -> Storage:
    return storage_at(f"{s3}/stores/store")


def everything(place: Storage, below: str = "") -> dict[str, bytes]:
    """Every object below a place, by its name."""
    found = {f"{below}{name}": place.read(name) for name in place.names()}
    for folder in folders(place):
        found |= everything(place / folder, f"{below}{folder}/")
    return found


def files(path: Path) -> dict[str, bytes]:
    return {name: x for name, x in contents(path).items() if name != ".lock"}


@pytest.mark.parametrize("changes", LAYOUTS)
def test_objects_rows_and_batches_are_those_of_files(place, tmp_path, changes):
    config = config_of(**changes)
    far = Store.open(str(write_store(place, config)))
    near = Store.open(write_store(tmp_path / "store", config))
    assert everything(place) == files(tmp_path / "store")
    assert (far.digest(), far.n_rows, far.dropped) == (near.digest(), near.n_rows, near.dropped)
    assert far.statistics("attn").mean.tolist() == near.statistics("attn").mean.tolist()
    for mine, theirs in zip(iterate(far, "resid", 50), iterate(near, "resid", 50), strict=True):
        assert torch.equal(mine, theirs)
    streams = [ActivationStream(store, "attn", 48, seed=3, group_chunks=4) for store in (far, near)]
    for _ in range(9):
        assert torch.equal(*map(next, streams))
    for stream in streams:
        stream.close()
    for name, values in near.read_tokens(2).items():
        np.testing.assert_array_equal(far.read_tokens(2)[name], values)
    with pytest.raises(ValueError, match="is no folder"):
        _ = far.path
    assert verify_store(str(place)) == []
    group = zarr.open_group(place.zarr_store("data.zarr", read_only=True), mode="r")
    whole = np.concatenate([near.read_chunk("resid", i) for i in range(near.n_chunks("resid"))])
    np.testing.assert_array_equal(group["resid"][:], whole)


def test_what_a_writer_left_is_finished(place, tmp_path):
    """It ended with one block committed and another half written."""
    config = config_of()
    with StoreWriter(place, config) as writer:
        writer.write_block(0, **block_data(config, 0))
        place.write(CHUNK, b"of a writer that ended here")
    write_store(place, config)
    assert everything(place) == files(write_store(tmp_path / "store", config))


def test_lost_answers_leave_a_whole_store(s3, proxy, tmp_path):
    place, lost = storage_at(f"{s3}/stores/store"), []
    names = ("c.2.0", "commits/000001", "run.json", "SEALED", "zarr.json")
    rules = [once("PUT", name) for name in names]

    def lose(method: str, path: str) -> bool:
        hits = [rule(method, path) for rule in rules]
        lost.extend([path] * any(hits))
        return any(hits)

    proxy.lose = lose
    write_store(place, config_of())
    assert len(lost) == len(names)
    assert everything(place) == files(write_store(tmp_path / "store", config_of()))


def test_a_server_that_is_down_is_no_damage(s3, proxy, monkeypatch):
    place = storage_at(f"{s3}/stores/store")
    write_store(place, config_of(profile="disk"))
    monkeypatch.setattr("sagsae.activations.storage.RETRIES", 0)
    proxy.refuse = lambda method, path: True
    with pytest.raises(StorageError, match="run the same command again"):
        Store.open(str(place))
    proxy.refuse = lambda method, path: "attn/c." in path
    with pytest.raises(StorageError, match="run the same command again"):
        Store.open(str(place)).read_chunk("attn", 0)
    with pytest.raises(StorageError):
        verify_store(str(place))


def test_damage_is_found_and_mended_block_by_block(place):
    write_store(place, config_of())
    sound = everything(place)
    content = place.read(CHUNK)
    place.write(CHUNK, bytes([content[0] ^ 1]) + content[1:])
    place.write("data.zarr/resid/c.5.0", place.read("data.zarr/resid/c.5.0")[:-7])
    place.delete("data.zarr/doc_id/c.2")
    with pytest.raises(StoreError, match=r"s3://.*'attn' rows 32 to 47 .*c\.2\.0"):
        Store.open(str(place)).read_chunk("attn", 2)
    assert len(verify_store(str(place))) == 3
    for name in ("commits/000001.json", "commits/000002.json", "SEALED.json"):
        place.delete(name)
    write_store(place, config_of())
    assert everything(place) == sound
