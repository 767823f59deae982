"""Forward passes and the disk: what waits for what, told by events and not by a clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from activation_samples import contents, random_tokens, tiny_model

from sagsae.activations import (
    DumpSettings,
    StoreWriter,
    contexts_per_block,
    default_hookpoints,
    dump,
    dump_activations,
)
from sagsae.activations.reading import BlockReader

LENGTH, ROWS, BLOCKS = 16, 64, 8
PATIENCE = 60.0
"""Seconds until a test gives up on an event that never comes."""


def fill(root: Path, writers: int, blocks: int = BLOCKS, device: Any = "cpu") -> Path:
    settings = DumpSettings(
        rows_per_chunk=16, rows_per_block=ROWS, n_blocks=blocks, seed=5, batch_contexts=2
    )
    model = tiny_model("smollm3")
    tokens = random_tokens(blocks * contexts_per_block(ROWS, LENGTH), LENGTH)
    calibration = torch.from_numpy(random_tokens(6, LENGTH, seed=9).input_ids)
    points = default_hookpoints("smollm3", 1)
    arguments = (model, tokens, calibration, points, root, "tiny", settings)
    return dump_activations(*arguments, writers=writers, device=device)


class Passes:
    """Counts what the model reads; the medians' passes are not counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.blocks, self.waits, self.written = 0, 0, 0, 0
        self.at_pass: Callable[[], object] = lambda: None
        self.at_block: Callable[[int], object] = lambda block: None
        self.changed = threading.Condition()
        run, read, wait = BlockReader._run, BlockReader.read, dump.wait

        def counted_run(*arguments: Any) -> Any:
            arrival = run(*arguments)
            self.note(count=1)
            self.at_pass()
            return arrival

        def counted_read(reader: BlockReader, block: int, *arguments: Any) -> Any:
            found = read(reader, block, *arguments)
            self.at_block(block)
            self.note(blocks=1)
            return found

        class Threads(dump.ThreadPoolExecutor):
            def submit(pool, *arguments: Any, **options: Any) -> Any:
                future = super().submit(*arguments, **options)
                future.add_done_callback(lambda _: self.note(written=1))
                return future

        def counted_wait(*arguments: Any, **options: Any) -> Any:
            self.note(waits=1)
            return wait(*arguments, **options)

        monkeypatch.setattr(BlockReader, "_run", counted_run)
        monkeypatch.setattr(BlockReader, "read", counted_read)
        monkeypatch.setattr(dump, "wait", counted_wait)
        monkeypatch.setattr(dump, "ThreadPoolExecutor", Threads)

    def note(self, **more: int) -> None:
        with self.changed:
            for name, number in more.items():
                setattr(self, name, getattr(self, name) + number)
            self.changed.notify_all()

    def until(self, true: Callable[[], bool]) -> bool:
        with self.changed:
            return self.changed.wait_for(true, PATIENCE)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    return Passes(monkeypatch)


def slow_disk(monkeypatch: pytest.MonkeyPatch, before: Callable[[int], object]) -> None:
    """Let every block wait for `before` until it may be written."""
    write = StoreWriter.write_block

    def slow(writer: StoreWriter, block: int, **arguments: Any) -> None:
        before(block)
        write(writer, block, **arguments)

    monkeypatch.setattr(StoreWriter, "write_block", slow)


@pytest.mark.parametrize("writers", [1, 3])
def test_passes_go_on_until_every_writer_has_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: Passes, writers: int
) -> None:
    """The disk takes nothing before the model has read a block more than there are writers."""
    late = []
    slow_disk(
        monkeypatch,
        lambda _: late.append(passes.until(lambda: passes.blocks >= writers + 1)),
    )
    fill(tmp_path, writers, blocks=writers + 1)
    assert late == [True] * (writers + 1)
    assert passes.waits == 0


def test_the_memory_of_blocks_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: Passes
) -> None:
    made, memory = [], BlockReader.memory
    monkeypatch.setattr(BlockReader, "memory", lambda r: (made.append(1), memory(r))[1])
    slow_disk(monkeypatch, lambda block: passes.until(lambda: passes.waits > 0 or block > 4))
    fill(tmp_path, writers=2)
    assert len(made) == 3


@pytest.mark.parametrize("writers", [1, 3])
def test_an_error_of_a_writer_stops_the_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: Passes, writers: int
) -> None:
    """In the middle of a block that the model reads, not at its end."""
    reading, after = threading.Event(), []

    def full(block: int) -> None:
        if block == 1:
            assert reading.wait(PATIENCE)
            raise OSError(28, "No space left on device")

    def wait_for_the_error() -> None:
        if passes.blocks == 2:
            reading.set()
            after.append(passes.until(lambda: passes.written == 2))

    slow_disk(monkeypatch, full)
    passes.at_pass = wait_for_the_error
    with pytest.raises(OSError, match="No space left"):
        fill(tmp_path, writers)
    assert after == [True], "the model read on after the error"
    (path,) = tmp_path.iterdir()
    assert [file.name for file in (path / "commits").iterdir()] == ["000000.json"]


@pytest.mark.parametrize("writers", [2, 5])
def test_any_number_of_writers_gives_the_same_bytes(tmp_path: Path, writers: int) -> None:
    one, more = (contents(fill(tmp_path / str(n), n)) for n in (1, writers))
    assert one == more
