"""Every kind of damage is found, named, and cured by the remedy that is printed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from activation_samples import contents, small_config, write_store

from sagsae.activations import (
    ActivationStream,
    ChunkReadError,
    Store,
    StoreError,
    StoreFaultsError,
    StoreWriter,
    layout,
)

MakeStore = Callable[..., Path]
CHUNK = "data.zarr/attn/c.6.0"  # of block 1


def flip_bit(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 4
    file.write_bytes(content)


@pytest.mark.parametrize("changes", [{}, {"profile": "disk"}, {"dtype": "float32"}])
@pytest.mark.parametrize("at", [0, 100, -1])
def test_bit_flip(make_store: MakeStore, changes: dict, at: int) -> None:
    path = make_store(**changes)
    flip_bit(path / CHUNK, at)
    store = Store.open(path)  # sizes are right, only reading can tell
    assert [fault.file for fault in store.verify()] == [CHUNK]
    with pytest.raises(ChunkReadError, match=r"'attn' rows 96 to 111 .*c\.6\.0") as error:
        store.read_chunk("attn", 6)
    assert str(path) in str(error.value)
    store.read_chunk("attn", 5)
    store.read_chunk("resid", 6)


def test_bit_flip_in_a_shard(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MAX_FILES", 3)
    path = make_store()
    flip_bit(path / "data.zarr/attn/c.1.0", 300)
    (fault,) = Store.open(path).verify()
    assert fault.file == "data.zarr/attn/c.1.0"


def test_bit_flip_in_a_token_array(make_store: MakeStore) -> None:
    path = make_store()
    flip_bit(path / "data.zarr/doc_id/c.2", 9)
    store = Store.open(path)
    assert [fault.file for fault in store.verify()] == ["data.zarr/doc_id/c.2"]
    with pytest.raises(ChunkReadError, match="doc_id"):
        store.read_tokens(2)


def test_two_sound_chunks_in_each_others_place(make_store: MakeStore) -> None:
    """Each passes its own crc32c; only the commit knows better."""
    path = make_store()
    here, there = path / CHUNK, path / "data.zarr/attn/c.7.0"
    first, second = here.read_bytes(), there.read_bytes()
    here.write_bytes(second)
    there.write_bytes(first)
    faults = Store.open(path).verify()
    assert {fault.file for fault in faults} == {CHUNK, "data.zarr/attn/c.7.0"}
    assert all("committed" in fault.problem for fault in faults)


def test_all_faults_of_open_come_together(make_store: MakeStore) -> None:
    path = make_store()
    (path / CHUNK).unlink()
    torn = path / "data.zarr/resid/c.15.0"
    torn.write_bytes(torn.read_bytes()[:-7])
    (path / "data.zarr/position/zarr.json").write_text("{}")
    with pytest.raises(StoreFaultsError) as error:
        Store.open(path)
    problems = {fault.file: fault.problem for fault in error.value.faults}
    assert problems.keys() == {
        CHUNK,
        "data.zarr/resid/c.15.0",
        "data.zarr/position/zarr.json",
    }
    assert problems[CHUNK].startswith("missing")
    assert "381 bytes where the commit of block 3 has 388" in problems["data.zarr/resid/c.15.0"]
    assert "commits/000001.json" in str(error.value)


def test_array_metadata_of_another_store(make_store: MakeStore) -> None:
    path = make_store()
    other = make_store("other", hookpoints={"attn": 9, "resid": 12})
    shutil.copy(other / "data.zarr/attn/zarr.json", path / "data.zarr/attn/zarr.json")
    with pytest.raises(StoreFaultsError, match=r"\(256, 9\).*run.json has uint16 \(256, 8\)"):
        Store.open(path)


@pytest.mark.parametrize("changes", [{}, {"dtype": "float32"}])
def test_chunk_that_goes_missing_after_opening(make_store: MakeStore, changes: dict) -> None:
    path = make_store(**changes)
    store = Store.open(path)
    (path / CHUNK).unlink()
    (path / "data.zarr/token_id/c.0").unlink()
    with pytest.raises(ChunkReadError, match=r"c\.6\.0\) is missing"):
        store.read_chunk("attn", 6)
    with pytest.raises(ChunkReadError, match=r"c\.0\) is missing"):
        store.read_tokens(0)
    with ActivationStream(store, "attn", 256, seed=0) as stream, pytest.raises(ChunkReadError):
        next(stream)
    assert {fault.file for fault in store.verify()} == {CHUNK, "data.zarr/token_id/c.0"}


def edit_commit(path: Path) -> None:
    file = path / "commits/000002.json"
    value = json.loads(file.read_text())
    value["dropped"]["norm"] += 1
    file.write_text(json.dumps(value))


def copy_commit(path: Path) -> None:
    shutil.copy(path / "commits/000001.json", path / "commits/000002.json")


def cut_commit(path: Path) -> None:
    file = path / "commits/000002.json"
    file.write_bytes(file.read_bytes()[:200])


@pytest.mark.parametrize("damage", [edit_commit, copy_commit, cut_commit])
def test_damaged_commit(make_store: MakeStore, damage: Callable[[Path], None]) -> None:
    path = make_store()
    sound = Store.open(path)
    damage(path)
    with pytest.raises(StoreFaultsError) as error:
        Store.open(path)
    assert "commits/000002.json" in {fault.file for fault in error.value.faults}
    assert "commits/000002.json" in {fault.file for fault in sound.verify()}


def test_commit_replaced_by_a_well_formed_one_breaks_the_seal(make_store: MakeStore) -> None:
    path, other = make_store(), make_store("other", seed=8)
    shutil.copy(other / "commits/000002.json", path / "commits/000002.json")
    with pytest.raises(StoreFaultsError, match="not those that were sealed"):
        Store.open(path)


def test_a_missing_commit_breaks_the_seal(make_store: MakeStore) -> None:
    path = make_store()
    (path / "commits/000003.json").unlink()
    with pytest.raises(StoreFaultsError, match="3 usable commits of 4"):
        Store.open(path)


def test_seal_refuses_a_damaged_store(make_store: MakeStore) -> None:
    path = make_store(seal=False)
    flip_bit(path / CHUNK, 50)
    with StoreWriter(path, small_config()) as writer, pytest.raises(StoreFaultsError) as error:
        writer.seal()
    assert [fault.file for fault in error.value.faults] == [CHUNK]
    assert not (path / "SEALED.json").exists()


def test_the_printed_remedy_restores_the_store(make_store: MakeStore) -> None:
    path = make_store()
    sound = contents(path)
    flip_bit(path / CHUNK, 50)
    (fault,) = Store.open(path).verify()
    assert "Delete commits/000001.json and SEALED.json" in fault.remedy
    (path / "commits/000001.json").unlink()
    (path / "SEALED.json").unlink()
    assert contents(write_store(path, small_config())) == sound


def test_no_store_and_foreign_folders(tmp_path: Path, make_store: MakeStore) -> None:
    with pytest.raises(StoreError, match="no activation store"):
        Store.open(tmp_path / "absent")
    path = make_store()
    (path / "run.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(StoreError, match="'other'"):
        Store.open(path)


def test_checksum_depends_on_content_in_every_commit(make_store: MakeStore) -> None:
    """A crc32c over a file that ends in its own crc32c would be one constant."""
    store = Store.open(make_store())
    sums = [c for commit in store.commits.values() for c in commit.crc32c["attn"]]
    assert len(sums) == len(set(sums)) == 16
    chunk = store.read_chunk("attn", 6)
    trailer = (store.path / CHUNK).read_bytes()[-4:]
    assert int(sums[6], 16) == int(np.frombuffer(trailer, "<u4")[0])
    assert chunk.nbytes + 4 == (store.path / CHUNK).stat().st_size
