"""Writing blocks in a thread, beside the forward pass that fills the next one."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from sagsae.activations.writer import StoreWriter


class BackgroundWriter:
    """Runs `StoreWriter.write_block` in one thread; at most `depth` blocks wait or are written.

    Errors of the thread reach the caller at the next `submit`, or at the end of the `with` block.
    """

    def __init__(self, writer: StoreWriter, depth: int = 1) -> None:
        self._writer, self._depth = writer, depth
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._running: deque[Future[None]] = deque()
        self.blocks_written = 0

    def submit(self, block: int, *arguments: Any, **named: Any) -> None:
        """Queue one block, with the arguments of `write_block`; the caller gives the tensors up."""
        self._wait(self._depth - 1)
        self._running.append(
            self._thread.submit(self._writer.write_block, block, *arguments, **named)
        )

    def _wait(self, leave: int) -> None:
        while len(self._running) > leave:
            self._running.popleft().result()
            self.blocks_written += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._wait(0)
        finally:
            self._thread.shutdown(wait=True, cancel_futures=True)
