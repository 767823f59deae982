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
    Fault,
    Store,
    StoreError,
    StoreFaultsError,
    StoreWriter,
    store_path,
)
from sagsae.activations.verify import verify_store
from sagsae.files import read_signed_json, signed_json

MakeStore = Callable[..., Path]
CHUNK = "data.zarr/attn/c.6.0"  # of block 1


def follow(path: Path, *faults: Fault) -> None:
    """Delete what the remedies say."""
    for name in {name for fault in faults for name in fault.delete}:
        if name == ".":
            shutil.rmtree(path)
        else:
            (path / name).unlink()


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


def test_bit_flip_in_a_shard(make_store: MakeStore) -> None:
    path = make_store(sharded=True)
    sound, shard = contents(path), path / "data.zarr/attn/c.1.0"
    flip_bit(shard, 300)
    (fault,) = Store.open(path).verify()
    assert fault.file == "data.zarr/attn/c.1.0"
    follow(path, fault)
    assert contents(write_store(path, small_config(sharded=True))) == sound
    flip_bit(shard, -10)  # in the index of the shard's chunks
    faults = Store.open(path).verify()
    assert {fault.file for fault in faults} == {"data.zarr/attn/c.1.0"}
    follow(path, *faults)
    assert contents(write_store(path, small_config(sharded=True))) == sound


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


@pytest.mark.parametrize("seal", [True, False])
def test_all_faults_come_together(make_store: MakeStore, seal: bool) -> None:
    path = make_store(seal=seal)
    (path / CHUNK).unlink()
    torn = path / "data.zarr/resid/c.15.0"
    torn.write_bytes(torn.read_bytes()[:-7])
    (path / "data.zarr/position/zarr.json").write_text("{}")
    faults = verify_store(path).faults
    problems = {fault.file: fault.problem for fault in faults}
    assert problems.keys() == {
        CHUNK,
        "data.zarr/resid/c.15.0",
        "data.zarr/position/zarr.json",
    }
    assert problems[CHUNK].startswith("missing")
    assert "381 bytes where the commit of block 3 has 388" in problems["data.zarr/resid/c.15.0"]
    assert "commits/000001.json" in str(StoreFaultsError(path, faults))


@pytest.mark.parametrize("changes", [{}, {"profile": "disk"}, {"dtype": "float32"}])
@pytest.mark.parametrize("seal", [True, False])
def test_a_file_of_another_size_is_found_when_read(
    make_store: MakeStore, changes: dict, seal: bool
) -> None:
    """Opening does not look at chunks; a byte too many does not hide from a compressor either."""
    path = make_store(seal=seal, **changes)
    sound = (path / CHUNK).read_bytes()
    for content in (sound + b"x", sound[:-1], b""):
        (path / CHUNK).write_bytes(content)
        store = Store.open(path, require_sealed=seal)
        store.read_chunk("attn", 5)
        with pytest.raises(ChunkReadError, match=rf"has {len(content)} bytes and its commit says"):
            store.read_chunk("attn", 6)
        assert [fault.file for fault in verify_store(path).faults] == [CHUNK]


@pytest.mark.parametrize("seal", [True, False])
@pytest.mark.parametrize("file", ["data.zarr/zarr.json", "data.zarr/attn/zarr.json"])
def test_altered_metadata_is_found_and_written_again(
    make_store: MakeStore, seal: bool, file: str
) -> None:
    """Also a change that Zarr would not mind, and in a store without a seal."""
    path = make_store(seal=seal)
    sound = contents(path)
    for damaged in (b" " + sound[file], sound[file][:-3] + b',\n "x": 1\n}\n', b"{}", None):
        if damaged is None:
            (path / file).unlink()
        else:
            (path / file).write_bytes(damaged)
        with pytest.raises(StoreFaultsError) as error:
            Store.open(path, require_sealed=False)
        (fault,) = error.value.faults
        assert (fault.file, fault.delete) == (file, ())
        assert verify_store(path).faults == [fault], "the chunks can be checked all the same"
        assert contents(write_store(path, small_config(), seal)) == sound


def test_array_metadata_of_another_store(make_store: MakeStore) -> None:
    path = make_store()
    other = make_store("other", hookpoints={"attn": 9, "resid": 12})
    shutil.copy(other / "data.zarr/attn/zarr.json", path / "data.zarr/attn/zarr.json")
    with pytest.raises(StoreFaultsError, match=r"not what run\.json makes it"):
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
        read_all(path)
    assert "commits/000002.json" in {fault.file for fault in error.value.faults}
    Store.open(path).read_tokens(1)
    assert "commits/000002.json" in {fault.file for fault in sound.verify()}


@pytest.mark.parametrize("block", [0, 2])
def test_commit_of_another_store(make_store: MakeStore, block: int) -> None:
    path, other = make_store(), make_store("other", seed=8)
    name = f"commits/{block:06d}.json"
    shutil.copy(other / name, path / name)
    with pytest.raises(StoreFaultsError, match="another block or configuration"):
        read_all(path)
    assert [fault.file for fault in verify_store(path).faults] == [name]


@pytest.mark.parametrize("key", ["dropped", "crc32c"])
def test_a_commit_edited_and_signed_again_breaks_the_seal(make_store: MakeStore, key: str) -> None:
    path = make_store()
    sound, file = contents(path), path / "commits/000002.json"
    value = read_signed_json(file)
    if key == "dropped":
        value["dropped"]["norm"] += 1
    else:
        value["crc32c"]["attn"][1] = "00000000"
    file.write_bytes(signed_json(value))
    with pytest.raises(StoreFaultsError) as error:
        read_all(path)
    (fault,) = error.value.faults
    assert fault in verify_store(path).faults
    assert fault.file == "commits/000002.json"
    assert "not the commit that was sealed" in fault.problem
    follow(path, fault)
    assert contents(write_store(path, small_config())) == sound


def test_a_missing_commit_breaks_the_seal(make_store: MakeStore) -> None:
    path = make_store()
    sound = contents(path)
    (path / "commits/000003.json").unlink()
    with pytest.raises(StoreFaultsError, match=r"000003\.json: missing, but sealed") as error:
        read_all(path)
    assert verify_store(path).faults == error.value.faults
    follow(path, *error.value.faults)
    assert contents(write_store(path, small_config())) == sound


def test_a_commit_that_the_store_has_no_block_for(make_store: MakeStore) -> None:
    path = make_store()
    sound = contents(path)
    shutil.copy(path / "commits/000001.json", path / "commits/000004.json")
    (path / "commits/notes.json").write_text("of no concern")
    (fault,) = verify_store(path).faults
    assert "000004.json: the store has 4 blocks" in str(fault)
    read_all(path)
    follow(path, fault)
    (path / "commits/notes.json").unlink()
    assert contents(write_store(path, small_config())) == sound


def test_a_seal_edited_and_signed_again(make_store: MakeStore) -> None:
    path = make_store()
    sound = contents(path)
    for change in ({"run_sha256": "0" * 64}, {"commits_sha256": []}):
        file = path / "SEALED.json"
        file.write_bytes(signed_json(read_signed_json(file) | change))
        with pytest.raises(StoreFaultsError, match=r"made for another run\.json") as error:
            Store.open(path)
        follow(path, *error.value.faults)
        assert contents(write_store(path, small_config())) == sound


@pytest.mark.parametrize("key", ["dropped", "statistics"])
def test_a_seal_with_other_statistics_is_found(make_store: MakeStore, key: str) -> None:
    """Readers take them from the seal."""
    path = make_store()
    sound, file = contents(path), path / "SEALED.json"
    value = read_signed_json(file)
    if key == "dropped":
        value["dropped"]["norm"] += 1
    else:
        value["statistics"]["attn"]["mean_norm"] *= 2
    file.write_bytes(signed_json(value))
    (fault,) = verify_store(path).faults
    assert (fault.file, fault.delete) == ("SEALED.json", ("SEALED.json",))
    assert "not those of the commits" in fault.problem
    follow(path, fault)
    assert contents(write_store(path, small_config())) == sound


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
    assert fault.remedy == (
        "Delete commits/000001.json and SEALED.json, then run the dump again: it rewrites block 1 "
        "only"
    )
    follow(path, fault)
    assert contents(write_store(path, small_config())) == sound


@pytest.mark.parametrize("seal", [True, False])
def test_run_json_edited_lost_or_of_another_store(make_store: MakeStore, seal: bool) -> None:
    config = small_config()
    path = make_store(store_path(Path(), "tiny", config).name, seal)
    sound, file = contents(path), path / "run.json"
    value = config.to_json()
    for damaged, problem in (
        (sound["run.json"].replace(b'"seed": 7', b'"seed": 5'), "edited or damaged"),
        (b" " + sound["run.json"], "edited or damaged"),
        (
            signed_json({**value, "seed": 5}),
            f"the folder's name or its blocks say {config.digest()[:8]}",
        ),
        (None, "missing"),
    ):
        if damaged is None:
            file.unlink()
        else:
            file.write_bytes(damaged)
        (fault,) = verify_store(path).faults
        assert problem in fault.problem
        with pytest.raises(StoreFaultsError) as error:
            Store.open(path, require_sealed=False)
        assert error.value.faults == [fault]
        follow(path, fault)
        assert contents(write_store(path, config, seal)) == sound


def test_run_json_of_another_store_keeps_the_blocks(make_store: MakeStore) -> None:
    config = small_config()
    for folder in ("plain-name", store_path(Path(), "tiny", config).name):
        path, other = make_store(folder), make_store("other", seed=8)
        sound = contents(path)
        shutil.copy(other / "run.json", path / "run.json")
        (fault,) = verify_store(path).faults
        assert (fault.file, fault.delete) == ("run.json", ("run.json",))
        with pytest.raises(StoreFaultsError, match="name or its blocks say"):
            Store.open(path)
        follow(path, fault)
        assert contents(write_store(path, config)) == sound


def test_a_store_in_the_folder_of_another_is_dumped_again(make_store: MakeStore) -> None:
    config = small_config()
    path = make_store(store_path(Path(), "tiny", config).name)
    sound = contents(path)
    shutil.rmtree(path)
    shutil.copytree(make_store("other", seed=8), path)
    (fault,) = verify_store(path).faults
    assert fault.delete == (".",)
    assert f"a folder named tiny-{small_config(seed=8).digest()[:8]} may keep" in fault.remedy
    assert fault.remedy.startswith("Delete the whole store, then run the dump again: ")
    follow(path, fault)
    assert contents(write_store(path, config)) == sound


def test_a_name_with_another_hash_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreFaultsError, match="20260101"),
        StoreWriter(tmp_path / "acts-20260101", small_config()),
    ):
        pass
    assert not [p for p in tmp_path.rglob("*") if p.suffix == ".json"]


def test_a_sound_chunk_in_anothers_place_is_found_when_read(make_store: MakeStore) -> None:
    path = make_store()
    store = Store.open(path)
    shutil.copy(path / "data.zarr/attn/c.7.0", path / CHUNK)
    with pytest.raises(ChunkReadError, match=r"c\.6\.0\) does not hold what was committed"):
        store.read_chunk("attn", 6)
    (fault,) = store.verify()
    assert fault.file == CHUNK


def test_progress_counts_every_block(make_store: MakeStore) -> None:
    path, said = make_store(), []
    found = verify_store(path, lambda done, total: said.append((done, total)))
    assert (found.faults, found.sealed, len(found.commits), found.chunks) == ([], True, 4, 44)
    assert said == [(1, 4), (2, 4), (3, 4), (4, 4)]
    data = list((path / "data.zarr").rglob("c.*"))
    assert found.size == sum(p.stat().st_size for p in data)


def test_no_store_and_foreign_folders(tmp_path: Path, make_store: MakeStore) -> None:
    with pytest.raises(StoreError, match="no activation store"):
        Store.open(tmp_path / "absent")
    path = make_store()
    (path / "run.json").write_bytes(signed_json({"format": "other"}))
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
