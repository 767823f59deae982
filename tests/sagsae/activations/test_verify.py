"""Damage of every file of a store is found, named, and cured by what the message says to delete."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from activation_samples import contents, small_config, write_store

from sagsae.activations.layout import StoreError
from sagsae.activations.store import Store, verify_store
from sagsae.activations.stream import ActivationStream
from sagsae.activations.writer import StoreWriter
from sagsae.files import read_signed_json, signed_json
from tests.faults.small_stores import mend

CHUNK = "data.zarr/attn/c.6.0"  # of block 1
LAYOUTS = pytest.mark.parametrize("changes", [{}, {"profile": "disk"}, {"sharded": True}])


def read_all(path: Path, require_sealed: bool = True) -> None:
    """Open a store and read every row of it."""
    store = Store.open(path, require_sealed)
    for block in store.blocks:
        store.read_tokens(block)
    for name in store.config.hookpoints:
        for chunk in range(store.n_chunks(name)):
            store.read_chunk(name, chunk)


def flip_bit(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 4
    file.write_bytes(content)


@LAYOUTS
@pytest.mark.parametrize("at", [0, 100, -1])
def test_a_flipped_bit_is_found_and_its_block_made_anew(make_store, changes, at):
    path = make_store(**changes)
    sound = contents(path)
    file = CHUNK if "sharded" not in changes else "data.zarr/attn/c.1.0"
    flip_bit(path / file, at)
    faults = verify_store(path)
    assert all(file in fault for fault in faults)
    assert faults
    with pytest.raises(StoreError, match=rf"'attn' rows .*{re.escape(file)}.*000001\.json"):
        read_all(path)
    Store.open(path).read_chunk("resid", 6)
    mend(path, faults)
    assert contents(write_store(path, small_config(**changes))) == sound


@pytest.mark.parametrize("changes", [{}, {"profile": "disk"}])
@pytest.mark.parametrize("seal", [True, False])
def test_a_file_of_another_size_or_none_is_found_when_read(make_store, changes, seal):
    """A byte too many does not hide from a compressor either."""
    path = make_store(seal=seal, **changes)
    sound = (path / CHUNK).read_bytes()
    for content in (sound + b"x", sound[:-1], b"", None):
        if content is None:
            (path / CHUNK).unlink()
        else:
            (path / CHUNK).write_bytes(content)
        store = Store.open(path, require_sealed=seal)
        store.read_chunk("attn", 5)
        problem = "is missing" if content is None else f"has {len(content)} bytes and its commit"
        with pytest.raises(StoreError, match=problem):
            store.read_chunk("attn", 6)
        (fault,) = verify_store(path)
        assert CHUNK in fault
    stream = ActivationStream(store, "attn", 256, seed=0)
    with stream, pytest.raises(StoreError, match="is missing"):
        next(stream)


def test_a_lost_chunk_reads_as_nan_by_zarr_alone(make_store):
    import zarr

    path = make_store(dtype="float32")
    (path / CHUNK).unlink()
    rows = zarr.open_group(path / "data.zarr", mode="r")["attn"][96:112]
    assert np.isnan(rows).all()


def test_two_sound_chunks_in_each_others_place(make_store):
    """Each passes its own crc32c; only the commit knows better."""
    path = make_store()
    here, there = path / CHUNK, path / "data.zarr/attn/c.7.0"
    first, second = here.read_bytes(), there.read_bytes()
    here.write_bytes(second)
    there.write_bytes(first)
    assert len(verify_store(path)) == 2
    with pytest.raises(StoreError, match="does not hold what was committed"):
        Store.open(path).read_chunk("attn", 6)


def test_all_faults_come_together(make_store):
    path = make_store(seal=False)
    (path / CHUNK).unlink()
    torn = path / "data.zarr/resid/c.15.0"
    torn.write_bytes(torn.read_bytes()[:-7])
    flip_bit(path / "data.zarr/doc_id/c.2", 9)
    (path / "data.zarr/position/zarr.json").unlink()
    faults = verify_store(path)
    found = [
        CHUNK,
        "data.zarr/resid/c.15.0",
        "data.zarr/doc_id/c.2",
        "data.zarr/position/zarr.json",
    ]
    assert len(faults) == len(found)
    assert all(any(file in fault for fault in faults) for file in found)


@pytest.mark.parametrize("file", ["data.zarr/zarr.json", "data.zarr/attn/zarr.json"])
def test_altered_metadata_is_found_and_written_again(make_store, file):
    path = make_store()
    sound = contents(path)
    for damaged in (b" " + sound[file], b"{}"):
        (path / file).write_bytes(damaged)
        (fault,) = verify_store(path)
        assert file in fault
        assert contents(write_store(path, small_config())) == sound


def signed_anew(file):
    value = read_signed_json(file)
    value["crc32c"]["attn"][1] = "00000000"
    file.write_bytes(signed_json(value))


COMMIT_DAMAGE = {
    "edited": lambda file: file.write_text(file.read_text().replace('"norm": 2', '"norm": 3')),
    "edited and signed": signed_anew,
    "of another block": lambda file: shutil.copy(file.with_name("000001.json"), file),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:200]),
    "lost": Path.unlink,
}


@pytest.mark.parametrize("damage", COMMIT_DAMAGE)
def test_a_damaged_commit_is_refused_and_its_block_made_anew(make_store, damage):
    path = make_store()
    sound = contents(path)
    COMMIT_DAMAGE[damage](path / "commits/000002.json")
    with pytest.raises(StoreError, match=r"000002\.json|block 2 is not the one") as error:
        Store.open(path)
    assert verify_store(path) == [str(error.value)]
    mend(path, [str(error.value)])
    assert contents(write_store(path, small_config())) == sound


def test_a_damaged_seal_is_refused_and_made_anew(make_store):
    path = make_store()
    sound = contents(path)
    file = path / "SEALED.json"
    for content in (
        sound["SEALED.json"][:-5],
        signed_json(read_signed_json(file) | {"run_sha256": "0" * 64}),
    ):
        file.write_bytes(content)
        with pytest.raises(StoreError, match=r"SEALED\.json: .*delete this file") as error:
            Store.open(path)
        mend(path, [str(error.value)])
        assert contents(write_store(path, small_config())) == sound


@pytest.mark.parametrize("seal", [True, False])
def test_run_json_edited_or_lost(make_store, seal):
    path = make_store(seal=seal)
    sound, file = contents(path), path / "run.json"
    for damaged in (sound["run.json"].replace(b'"seed": 7', b'"seed": 5'), None):
        if damaged is None:
            file.unlink()
        else:
            file.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"run\.json"):
            Store.open(path, require_sealed=False)
        file.unlink(missing_ok=True)
        assert contents(write_store(path, small_config(), seal)) == sound


def test_no_store_and_one_of_an_older_layout(tmp_path, make_store):
    with pytest.raises(StoreError, match="no activation store"):
        Store.open(tmp_path / "absent")
    path = make_store()
    (path / "run.json").write_bytes(signed_json({"format": "sagsae-activations-2"}))
    for use in (partial(Store.open, path), StoreWriter(path, small_config()).__enter__):
        with pytest.raises(StoreError, match=r"'sagsae-activations-2'.*dump the store again"):
            use()
