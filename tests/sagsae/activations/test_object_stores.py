"""Stores of objects: the bytes of a store of files, read the same way, and robust in their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from activation_samples import block_data, contents, small_config, write_store
from distributed import Client

from sagsae.activations import (
    ActivationStream,
    ChunkReadError,
    ConfigMismatchError,
    Store,
    StoreConfig,
    StoreError,
    StoreFaultsError,
    StoreWriter,
    iterate,
    verify_store,
)
from sagsae.activations.arrays import open_array
from sagsae.activations.layout import CLAIM
from sagsae.storage import Storage, StorageError, claims, storage_at
from sagsae.storage import s3 as storage_s3
from tests import s3_servers
from tests.s3_servers import Proxy, once

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


@pytest.fixture
def proxy(moto: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(moto) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.endpoint)
        yield found


def everything(place: Storage, below: str = "") -> dict[str, bytes]:
    """Every object below a place, by its name."""
    found = {f"{below}{name}": place.read(name) for name in place.names()}
    for folder in place.folders():
        found |= everything(place / folder, f"{below}{folder}/")
    return found


def files(path: Path) -> dict[str, bytes]:
    return {name: x for name, x in contents(path).items() if name != ".lock"}


@pytest.mark.parametrize("changes", LAYOUTS)
def test_the_objects_are_the_files(place: Storage, tmp_path: Path, changes: dict) -> None:
    config = config_of(**changes)
    write_store(place, config)
    assert everything(place) == files(write_store(tmp_path / "store", config))


@pytest.mark.parametrize("changes", LAYOUTS)
def test_rows_and_batches_are_those_of_files(place: Storage, tmp_path: Path, changes: dict) -> None:
    config = config_of(**changes)
    far = Store.open(str(write_store(place, config)))
    near = Store.open(write_store(tmp_path / "store", config))
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
        far.path  # noqa: B018
    assert far.verify() == []


def test_zarr_alone_opens_it(place: Storage) -> None:
    config = config_of(sharded=True)
    store = Store.open(str(write_store(place, config)))
    group = zarr.open_group(place.zarr_store("data.zarr", read_only=True), mode="r")
    whole = np.concatenate([store.read_chunk("resid", i) for i in range(store.n_chunks("resid"))])
    np.testing.assert_array_equal(group["resid"][:], whole)


def test_a_store_grows_and_has_no_lock(place: Storage, tmp_path: Path) -> None:
    write_store(place, config_of(n_blocks=2))
    first = Store.open(str(place))
    write_store(place, config_of(n_blocks=4))
    assert everything(place) == files(write_store(tmp_path / "store", config_of(n_blocks=4)))
    assert Store.open(str(place), rows=64).digest() == first.digest()
    write_store(place, config_of(n_blocks=3))
    assert Store.open(str(place)).n_rows == 4 * 32, "a dump of fewer rows changes nothing"
    with pytest.raises(ConfigMismatchError), StoreWriter(place, config_of(seed=8)):
        pass


def test_several_writers_share_the_blocks(place: Storage, tmp_path: Path) -> None:
    config = config_of(n_blocks=5)
    with StoreWriter(place, config) as one, StoreWriter(place, config) as other:
        for mine, theirs in zip(
            one.claimed_blocks(wait=False), other.claimed_blocks(wait=False), strict=False
        ):
            assert mine != theirs
            with pytest.raises(ValueError, match="not claimed"):
                one.write_block(theirs, **block_data(config, theirs))
            other.write_block(theirs, **block_data(config, theirs))
            one.write_block(mine, **block_data(config, mine))
        with pytest.raises(StoreError, match="lacks 1 of 5 blocks"):
            other.seal()
        one.write_block(4, **block_data(config, 4))
        assert list(other.claimed_blocks()) == []
        other.seal()
    assert everything(place) == files(write_store(tmp_path / "store", config))


def test_a_killed_writer_s_blocks_are_made_again(place: Storage, tmp_path: Path) -> None:
    """It dies with one block half written, and another that it had committed just now."""
    code = (
        "import os, sys\n"
        "from activation_samples import block_data, small_config\n"
        "from sagsae.activations import StoreWriter\n"
        "from sagsae.activations.commits import Commit\n"
        "config = small_config(n_blocks=3, rows_per_block=32)\n"
        "with StoreWriter(sys.argv[1], config) as writer:\n"
        "    blocks = writer.claimed_blocks()\n"
        "    writer._claims.give_up = lambda block, done: None\n"
        "    writer.write_block(next(blocks), **block_data(config, 0))\n"
        "    Commit.write = lambda *_: os._exit(9)\n"
        "    writer.write_block(next(blocks), **block_data(config, 1))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(place)], cwd=Path(__file__).parent)
    assert done.returncode == 9
    left = everything(place)
    assert {CLAIM.format(0), CLAIM.format(1), "commits/000000.json"} <= left.keys()
    assert "data.zarr/attn/c.2.0" in left
    assert "commits/000001.json" not in left
    write_store(place, config_of())
    assert everything(place) == files(write_store(tmp_path / "store", config_of()))


def test_a_writer_that_slept_does_not_commit(
    place: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.02)
    config = config_of()
    with StoreWriter(place, config) as writer:
        block = next(writer.claimed_blocks())
        mark = json.loads(place.read(CLAIM.format(block)))
        place.write(CLAIM.format(block), json.dumps(mark | {"claim": "theirs"}).encode())
        claim = writer._claims._held[block]
        while not claim.is_lost():
            time.sleep(0.02)
        with pytest.raises(StoreError, match=f"block {block} was taken over"):
            writer.write_block(block, **block_data(config, block))
        assert place.names("commits") == []


def test_other_rows_of_the_same_block_are_refused(place: Storage) -> None:
    """Two machines that round differently: there is one commit, and verify finds what is torn."""
    config = config_of(n_blocks=1)
    mine, theirs = block_data(config, 0), block_data(config, 1)
    with StoreWriter(place, config) as writer, StoreWriter(place, config) as sleeper:
        block = next(writer.claimed_blocks())
        sleeper._claims._held[block] = None
        writer.write_block(block, **mine)
        commit = place.read("commits/000000.json")
        place.delete("commits/000000.json")
        sleeper_writes(sleeper, block, theirs, place, commit)
        with pytest.raises(StoreFaultsError, match="does not hold what was committed"):
            writer.seal()


def sleeper_writes(
    sleeper: StoreWriter, block: int, data: dict, place: Storage, commit: bytes
) -> None:
    """A writer that passed all checks before another committed; it wakes and writes its own."""
    create = type(place).create

    def late(self: Storage, name: str, content: bytes) -> bool:
        if name.startswith("commits/"):
            create(self, name, commit)
        return create(self, name, content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(place), "create", late)
        with pytest.raises(StoreError, match="has committed block 0 with other rows"):
            sleeper.write_block(block, **data)


# The network ------------------------------------------------------------------------------------


def test_lost_answers_leave_a_whole_store(s3: str, proxy: Proxy, tmp_path: Path) -> None:
    """Of a chunk, a commit, a claim, run.json and the seal."""
    place, lost = storage_at(f"{s3}/stores/store"), []
    rules = [
        once("PUT", name)
        for name in ("c.2.0", "commits/000001", CLAIM.format(2), "run.json", "SEALED", "zarr.json")
    ]

    def lose(method: str, path: str) -> bool:
        hits = [rule(method, path) for rule in rules]
        lost.extend([path] * any(hits))
        return any(hits)

    proxy.lose = lose
    write_store(place, config_of())
    assert len(lost) == 6
    assert everything(place) == files(write_store(tmp_path / "store", config_of()))


def test_a_server_that_is_down_is_no_damage(
    s3: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGSAE_NODE_CACHE_GB", "0")
    place = storage_at(f"{s3}/stores/store")
    store = Store.open(str(write_store(place, config_of(profile="disk"))))
    proxy.refuse = lambda method, path: True
    monkeypatch.setattr(storage_s3, "RETRIES", 0)
    down = storage_at(str(place))
    with pytest.raises(StorageError, match="once the server answers"):
        StoreConfig.read(down)
    with pytest.raises(StorageError):
        verify_store(down)
    proxy.refuse = lambda method, path: "attn/c." in path
    with pytest.raises(StorageError, match="once the server answers"):
        Store.open(down).read_chunk("attn", 0)
    with pytest.raises(StorageError):
        verify_store(storage_at(str(place)))
    assert store.config == StoreConfig.read(place)


def test_what_was_read_is_not_fetched_again(s3: str, proxy: Proxy, tmp_path: Path) -> None:
    layouts = [{}, {"sharded": True, "profile": "disk"}]
    for changes in layouts:
        place = storage_at(f"{s3}/stores/{len(changes)}")
        write_store(place, config_of(**changes))
        first = [x.clone() for x in iterate(Store.open(str(place)), "attn", 64)]
        proxy.seen.clear()
        again = list(iterate(Store.open(str(place)), "attn", 64))
        assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
        assert proxy.requests("GET", "attn/c.") == []
        assert proxy.requests("HEAD", "attn/c.") == []
    (kept,) = list((tmp_path / "node-cache").rglob("*/attn/1.0-*"))[:1]
    kept.write_bytes(b"\0" * kept.stat().st_size)
    proxy.seen.clear()
    for changes in layouts:
        place = storage_at(f"{s3}/stores/{len(changes)}")
        again = list(iterate(Store.open(str(place)), "attn", 64))
        assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert len(proxy.requests("GET", "attn/c.")) in (1, 2), "that one alone, a shard in two parts"


# Damage -----------------------------------------------------------------------------------------


def test_damage_is_found_and_mended_block_by_block(
    place: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGSAE_NODE_CACHE_GB", "0")
    write_store(place, config_of())
    sound = everything(place)
    content = place.read(CHUNK)
    place.write(CHUNK, bytes([content[0] ^ 1]) + content[1:])
    place.write("data.zarr/resid/c.5.0", place.read("data.zarr/resid/c.5.0")[:-7])
    place.delete("data.zarr/doc_id/c.2")
    with pytest.raises(ChunkReadError, match=r"s3://.*'attn' rows 32 to 47 .*c\.2\.0"):
        Store.open(str(place)).read_chunk("attn", 2)
    faults = verify_store(str(place)).faults
    problems = {fault.file: fault.problem for fault in faults}
    assert problems.keys() == {CHUNK, "data.zarr/resid/c.5.0", "data.zarr/doc_id/c.2"}
    assert "381 bytes where the commit of block 2 has 388" in problems["data.zarr/resid/c.5.0"]
    for name in {name for fault in faults for name in fault.delete}:
        place.delete(name)
    write_store(place, config_of())
    assert everything(place) == sound


def set_environment(values: dict[str, str]) -> None:
    """Of the process that runs this."""
    os.environ.update(values)


def test_verification_on_two_processes(place: Storage, two_workers: Client) -> None:
    """Whose credentials are those of their own environment."""
    write_store(place, config_of(profile="disk"))
    mine = {name: x for name, x in os.environ.items() if name.startswith(("AWS_", "SAGSAE_"))}
    two_workers.run(set_environment, mine)
    with two_workers.as_current():
        assert Store.open(str(place)).verify() == []
        assert float(Store.open(str(place)).dask("attn").sum().compute()) == pytest.approx(
            float(sum(x.float().sum() for x in iterate(Store.open(str(place)), "attn", 64))),
            rel=1e-4,
        )
        place.write("data.zarr/attn/c.3.0", place.read(CHUNK))
        (fault,) = Store.open(str(place)).verify()
    assert fault.file == "data.zarr/attn/c.3.0"


# Servers that do otherwise ----------------------------------------------------------------------


def use(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A store's place on another server."""
    for name, value in s3_servers.environment(endpoint).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SAGSAE_NODE_CACHE", str(tmp_path / "node-cache"))
    s3_servers.make_bucket("bucket")
    return storage_at("s3://bucket/stores/store")


def test_nothing_is_written_where_conditions_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_servers.server("nanio", tmp_path) as endpoint:
        place = use(endpoint, tmp_path, monkeypatch)
        with pytest.raises(StorageError, match="ignores the conditions"):
            write_store(place, config_of())
        assert everything(place) == {}


def test_objects_that_were_torn_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """localbucket keeps the part of a body that came before its writer was killed."""
    with (
        s3_servers.server("localbucket", tmp_path) as endpoint,
        Proxy(endpoint, single_deletes=True) as proxy,
    ):
        place = use(proxy.endpoint, tmp_path, monkeypatch)
        with pytest.raises(StorageError, match="If-Match"):  # nor does it know these
            place.check_writable()
        monkeypatch.setattr(type(place), "check_writable", lambda _: None)
        sound = files(write_store(tmp_path / "store", config_of()))
        for name in ("commits/000001.json", CHUNK):
            write_store(place, config_of())
            assert everything(place) == sound
            tear(endpoint, f"/bucket/stores/store/{name}", sound[name])
            assert 0 < place.size(name) < len(sound[name])
            faults = verify_store(str(place)).faults
            assert {fault.file for fault in faults} == {name}
            store = Store.open(str(place))
            with pytest.raises((ChunkReadError, StoreFaultsError)):
                list(iterate(store, "attn", 64))
            for file in {file for fault in faults for file in fault.delete}:
                place.delete(file)
            shutil.rmtree(tmp_path / "node-cache", ignore_errors=True)


def tear(endpoint: str, path: str, content: bytes) -> None:
    """Begin to put an object and end in the middle of its body, as a killed process does."""
    import socket

    host, port = endpoint.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content[: len(content) // 2])
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1000):
            pass


def test_a_chunk_that_zarr_writes_is_what_a_reader_expects(place: Storage) -> None:
    """The direct way to write a plain chunk and Zarr's own give one object."""
    config = config_of()
    write_store(place, config)
    direct = place.read(CHUNK)
    rows = Store.open(str(place)).read_chunk("attn", 2)
    open_array(place, config, "attn", writable=True)[32:48] = rows
    assert place.read(CHUNK) == direct
