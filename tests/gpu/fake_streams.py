"""CUDA streams and events for fake tensors, which have none: they note what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch


class FakeStreams:
    """Stands in for `torch.cuda.Stream`, `Event`, `stream` and `current_stream`.

    Attributes:
        notes: what was asked for, in order.
        waits: how often the host waited for an event or a stream.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.notes: list[str] = []
        self.waits = 0
        self._current = ["compute"]
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: FakeStream(self, "side"))
        monkeypatch.setattr(torch.cuda, "Event", lambda: FakeEvent(self))
        monkeypatch.setattr(torch.cuda, "stream", self.using)
        monkeypatch.setattr(
            torch.cuda, "current_stream", lambda device: FakeStream(self, self._current[-1])
        )
        monkeypatch.setattr(torch.Tensor, "record_stream", lambda x, stream: self.keep(x, stream))
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: x)
        empty = torch.empty
        with torch.device("cpu"):  # PyTorch lists what this concerns at its first use
            empty(0)
        monkeypatch.setattr(
            torch, "empty", lambda *a, pin_memory=False, **options: empty(*a, **options)
        )

    @contextmanager
    def using(self, stream: FakeStream) -> Iterator[None]:
        self._current.append(stream.name)
        try:
            yield
        finally:
            self._current.pop()

    def keep(self, x: torch.Tensor, stream: FakeStream) -> None:
        assert x.is_cuda
        self.notes.append(f"keep for {stream.name}")


class FakeStream:
    def __init__(self, streams: FakeStreams, name: str) -> None:
        self.streams, self.name = streams, name

    def wait_stream(self, other: FakeStream) -> None:
        self.streams.notes.append(f"{self.name} waits for {other.name}")

    def synchronize(self) -> None:
        self.streams.waits += 1


class FakeEvent:
    def __init__(self, streams: FakeStreams) -> None:
        self.streams = streams

    def record(self, stream: FakeStream) -> None:
        self.streams.notes.append(f"event on {stream.name}")

    def synchronize(self) -> None:
        self.streams.waits += 1
