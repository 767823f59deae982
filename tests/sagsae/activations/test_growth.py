"""A store is given more blocks; its first rows are a store of just that size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from activation_samples import block_data, contents, small_config
from activation_samples import write_store as write
from test_dump import BLOCKS, dump

from sagsae.activations.layout import StoreError
from sagsae.activations.store import Store, verify_store
from sagsae.activations.stream import ActivationStream
from sagsae.activations.writer import StoreWriter
from tests.sagsae.evaluation.samples import tiny_model

KINDS = pytest.mark.parametrize("changes", [{}, {"profile": "disk"}, {"sharded": True}])


def times(path: Path) -> dict[str, int]:
    files = (file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.stat().st_mtime_ns for file in files}


def grow(path: Path, blocks: int, **changes: object) -> None:
    write(path, small_config(n_blocks=blocks, **changes))


@KINDS
def test_a_store_grows_and_no_block_is_written_again(tmp_path, changes):
    path = tmp_path / "grown"
    grow(path, 2, **changes)
    before, old = times(path), Store.open(path)
    grow(path, 5, **changes)
    after = times(path)
    changed = {name for name, when in before.items() if after[name] != when}
    arrays = {f"data.zarr/{name}/zarr.json" for name in old.config.arrays}
    assert changed - {".lock"} == {"SEALED.json", *arrays}
    grow(tmp_path / "at once", 5, **changes)
    same = [contents(tmp_path / name) for name in ("grown", "at once")]
    assert same[0] == same[1]


@KINDS
def test_the_first_rows_are_a_store_of_that_size(tmp_path, changes):
    grow(tmp_path / "large", 5, **changes)
    grow(tmp_path / "small", 3, **changes)
    part, small = Store.open(tmp_path / "large", rows=192), Store.open(tmp_path / "small")
    assert part.digest() == small.digest() != Store.open(tmp_path / "large").digest()
    assert (part.n_rows, part.blocks, part.dropped) == (small.n_rows, small.blocks, small.dropped)
    for name in ("attn", "resid"):
        assert part.statistics(name).to_json() == small.statistics(name).to_json()
        streams = [ActivationStream(store, name, 32, seed=3) for store in (part, small)]
        for _ in range(12):  # two epochs
            assert torch.equal(*(next(stream) for stream in streams))
        for stream in streams:
            stream.close()
    with pytest.raises(IndexError):
        part.read_chunk("attn", 12)


def test_readers_of_the_old_rows_are_not_disturbed(tmp_path):
    path = tmp_path / "s"
    grow(path, 2)
    digest = Store.open(path).digest()
    config = small_config(n_blocks=4)
    with StoreWriter(path, config) as writer:
        assert Store.open(path).digest() == digest  # the arrays have room for more already
        writer.write_block(3, **block_data(config, 3))
        assert Store.open(path, rows=128).digest() == digest
        assert Store.open(path).n_rows == 128
        with pytest.raises(StoreError, match="128 rows are sealed, the dump is not finished"):
            Store.open(path, rows=256)
    assert verify_store(path) == []


def test_a_seal_ends_where_a_block_is_missing(tmp_path):
    """A dump of four blocks was killed with one gap; one of two blocks seals the two."""
    path, config = tmp_path / "s", small_config(n_blocks=4)
    with StoreWriter(path, config) as writer:
        for block in (0, 1, 3):
            writer.write_block(block, **block_data(config, block))
    grow(path, 2)
    assert Store.open(path).blocks == [0, 1]
    grow(path, 4)
    assert contents(path) == contents(write(tmp_path / "t", config))


def test_growing_reads_no_sealed_chunk_again(tmp_path):
    """What was verified is trusted until somebody reads it; then its damage shows as ever."""
    path = tmp_path / "s"
    grow(path, 2)
    chunk = path / "data.zarr/attn/c.0.0"
    chunk.write_bytes(bytes(len(chunk.read_bytes())))
    grow(path, 3)
    (fault,) = verify_store(path)
    assert "data.zarr/attn/c.0.0" in fault
    new = path / "data.zarr/attn/c.8.0"
    (path / "SEALED.json").unlink()
    new.write_bytes(bytes(len(new.read_bytes())))
    with pytest.raises(StoreError, match=r"c\.8\.0"):
        grow(path, 3)


@pytest.mark.slow
def test_a_dump_grows_by_forward_passes_over_the_new_contexts_alone(tmp_path):
    model, seen = tiny_model("smollm3"), []
    path = dump(model, tmp_path / "a", n_blocks=1)
    commit = (path / "commits/000000.json").stat().st_mtime_ns
    embed = model.get_input_embeddings()
    hook = embed.register_forward_hook(lambda module, given, out: seen.append(len(given[0])))
    assert dump(model, tmp_path / "a") == path
    hook.remove()
    added = [Store.open(path).commits[block].cursor for block in range(1, BLOCKS)]
    widths = 1  # the context that tells them
    assert sum(seen) == widths + sum(cursor["contexts_read"] for cursor in added)
    assert (path / "commits/000000.json").stat().st_mtime_ns == commit
    whole = dump(model, tmp_path / "b")
    assert contents(path) == contents(whole)
    assert Store.open(path).n_rows == BLOCKS * Store.open(path).config.rows_per_block
