"""What is promised to be on the disk is there before the next step relies on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sagsae.activations.writer import StoreWriter
from sagsae.files import whole_file, write_atomic
from sagsae.training.checkpoint import save_checkpoint
from tests.disk import Disk, watched_disk
from tests.sagsae.activations.activation_samples import block_data, small_config


def write_a_whole_file(path: Path) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(b"content")


def write_over(path: Path) -> None:
    with watched_disk(path.parent) as unimportant:
        write_atomic(path, b"before")
    assert not unimportant.volatile()
    write_atomic(path, b"content")


WRITERS: dict[str, Callable[[Path], object]] = {
    "write_atomic": lambda path: write_atomic(path, b"content"),
    "write_atomic, over another": write_over,
    "whole_file": write_a_whole_file,
    "save_checkpoint": lambda path: save_checkpoint(path, {"x": torch.zeros(3)}, {}),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_name_appears_when_the_content_is_on_the_disk(kind, tmp_path):
    with watched_disk(tmp_path) as disk:
        WRITERS[kind](tmp_path / "file")
    assert disk.at("file") == set()
    assert disk.volatile() == set(), "the name is not on the disk when the call ends"


PROFILES = [{}, {"profile": "disk"}, {"dtype": "float32"}]


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("changes", PROFILES)
def test_a_store_step_by_step(tmp_path, changes, sharded):
    """Each step begins when what it relies on is on the disk: arrays, chunks, commits, the seal."""
    config = small_config(n_blocks=2, sharded=sharded, **changes)
    with watched_disk(tmp_path) as disk, StoreWriter(tmp_path / "s", config) as writer:
        arrays = {f"s/data.zarr/{name}/zarr.json" for name in config.arrays}
        assert {name for name, _ in disk.named} == arrays | {"s/data.zarr/zarr.json", "s/run.json"}
        assert disk.at("s/run.json") == {"s"}  # the folder's own name, which comes last
        assert disk.volatile() == set()
        for block in writer.pending_blocks():
            before = len(disk.named)
            writer.write_block(block, **block_data(config, block))
            check_block(disk, before, block, sharded=sharded)
        writer.seal()
    assert disk.at("s/SEALED.json") == set()
    assert disk.volatile() == set()


def check_block(disk: Disk, before: int, block: int, *, sharded: bool) -> None:
    """Chunks and their folders first, then the commit, then its name."""
    config = small_config(n_blocks=2, sharded=sharded)
    names = [name for name, _ in disk.named[before:]]
    assert names[-1] == f"s/commits/{block:06d}.json"
    files = {
        f"s/data.zarr/{array}/{file}"
        for array in config.arrays
        for file in config.block_files(array, block)
    }
    assert set(names[:-1]) == files
    assert disk.at(names[-1]) == set(), "the commit was named before this was on the disk"
    assert disk.volatile() == set()
    assert len(files) == (5 if sharded else 11)
