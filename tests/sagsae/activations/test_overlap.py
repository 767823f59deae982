"""Forward passes and the disk: what waits for what, told by events and not by a clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from activation_samples import contents, random_tokens
from test_dump import LENGTH, ROWS, dump

from sagsae.activations import dump as dumping
from sagsae.activations.reading import BlockReader, contexts_per_block
from sagsae.activations.writer import StoreWriter
from tests.sagsae.evaluation.samples import tiny_model

BLOCKS = 8
PATIENCE = 60.0
"""Seconds until a test gives up on an event that never comes."""


def fill(root: Path, threads: int) -> Path:
    tokens = random_tokens(BLOCKS * contexts_per_block(ROWS, LENGTH, 0.2), LENGTH)
    how = {"n_blocks": BLOCKS, "batch_contexts": 2, "threads": threads}
    return dump(tiny_model("smollm3"), root, tokens=tokens, **how)


class Passes:
    """Counts what the model reads; the medians' passes are not counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.blocks = 0, 0
        self.changed = threading.Condition()
        run, read = BlockReader._run, BlockReader.read

        def counted_run(*arguments: Any) -> Any:
            self.note(count=1)
            return run(*arguments)

        def counted_read(*arguments: Any) -> Any:
            found = read(*arguments)
            self.note(blocks=1)
            return found

        monkeypatch.setattr(BlockReader, "_run", counted_run)
        monkeypatch.setattr(BlockReader, "read", counted_read)

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


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_take_turns_at_one_model_while_the_others_write(
    tmp_path, monkeypatch, passes, threads
):
    """As beside a GPU. The disk takes nothing before each thread has read into its memory."""
    late, made, memory = [], [], BlockReader.memory
    monkeypatch.setattr(dumping, "_copies", lambda model, count: [model])
    monkeypatch.setattr(BlockReader, "memory", lambda r: (made.append(1), memory(r))[1])
    slow_disk(monkeypatch, lambda _: late.append(passes.until(lambda: passes.blocks >= threads)))
    fill(tmp_path, threads)
    assert late == [True] * BLOCKS
    assert len(made) == threads


def test_an_error_of_a_thread_stops_the_others(tmp_path, monkeypatch, passes):
    """No thread begins another block."""
    ending = threading.Event()

    class Threads(dumping.ThreadPoolExecutor):
        def __exit__(self, *error: Any) -> Any:
            ending.set()
            return super().__exit__(*error)

    def full(block: int) -> None:
        assert passes.until(lambda: passes.blocks == 2)
        if block == 1:
            raise OSError(28, "No space left on device")
        assert ending.wait(PATIENCE)

    monkeypatch.setattr(dumping, "ThreadPoolExecutor", Threads)
    slow_disk(monkeypatch, full)
    with pytest.raises(OSError, match="No space left"):
        fill(tmp_path, 2)
    assert passes.blocks == 2, "a thread read on after the error"
    (path,) = tmp_path.iterdir()
    assert [file.name for file in (path / "commits").iterdir()] == ["000000.json"]


@pytest.mark.parametrize("threads", [2, 5])
def test_any_number_of_threads_gives_the_same_bytes(tmp_path, threads):
    one, more = (contents(fill(tmp_path / str(n), n)) for n in (1, threads))
    assert one == more
