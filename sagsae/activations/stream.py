"""Rows of a store in shuffled batches for training, or in order for evaluation.

Order of a shuffled stream, a function of (store, seed, group_chunks) alone:

1. Epoch e visits the chunks in the order `default_rng([seed, e]).permutation(n_chunks)`, regrouped
   so that the K = `group_chunks` chunks of a group come from K different blocks whenever that many
   blocks have chunks left; blocks with most chunks left come first. The last group of an epoch has
   what remains.
2. The rows of group g are permuted jointly by `default_rng([seed, e, g])`.
3. Epochs follow one another without end, and this one sequence of rows is cut in batches: a batch
   may span groups and epochs, every batch is full, and each epoch has each row exactly once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from heapq import nsmallest
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from sagsae.activations.arrays import stored_rows
from sagsae.activations.store import Store
from sagsae.activations.transfers import SideStream
from sagsae.files import differences

Buffer = list[Tensor]  # of one group, [rows, d] of each hookpoint


def chunk_groups(store: Store, hookpoint: str, seed: int, epoch: int, size: int) -> list[list[int]]:
    """The chunks of every group of one epoch, see the order above."""
    waiting: dict[int, deque[tuple[int, int]]] = {}
    order = np.random.default_rng([seed, epoch]).permutation(store.n_chunks(hookpoint))
    for rank, chunk in enumerate(order.tolist()):
        waiting.setdefault(store.block_of_chunk(chunk), deque()).append((rank, chunk))
    left, groups = list(waiting.values()), list[list[int]]()
    while left:
        group: list[int] = []
        while left and len(group) < size:
            fullest = nsmallest(size - len(group), left, key=lambda chunks: (-len(chunks), chunks))
            group += [chunks.popleft()[1] for chunks in fullest]
            left = [chunks for chunks in left if chunks]
        groups.append(group)
    return groups


class ActivationStream(IterableDataset[Tensor]):
    """Endless shuffled batches [batch_size, d] of one hookpoint, in the order of this module.

    With a target, rows hold two hookpoints of a token one beside the other, [.., d + d_out].

    One thread reads groups ahead into buffers that are used again. The batches are fresh tensors
    that the caller may keep. Memory: (1 + prefetch) groups, each of `group_chunks` chunks (128 MiB
    at the default sizes).

    `DataLoader(stream, batch_size=None)` gives the same batches.

    Args:
        store: an open store.
        hookpoint: its name.
        batch_size: rows of every batch.
        seed: of the order.
        group_chunks: K, chunks mixed with one another; 1 mixes rows of one chunk only.
        prefetch: groups read ahead, at least 1.
        device: where batches live; groups are sent there whole, from pinned memory, on a stream of
            their own beside the training. Rows that fit stay on a GPU, and are read once.
        target: name of the second hookpoint; empty for none.

    Attributes:
        wait_seconds: time that `next` took so far: waiting for the reading thread, and gathering.
    """

    def __init__(
        self,
        store: Store,
        hookpoint: str,
        batch_size: int,
        seed: int,
        group_chunks: int = 16,
        prefetch: int = 1,
        device: torch.device | str = "cpu",
        target: str = "",
    ) -> None:
        if min(batch_size, group_chunks, prefetch) < 1 or store.n_chunks(hookpoint) < 1:
            raise ValueError(
                f"batch_size {batch_size}, group_chunks {group_chunks}, prefetch {prefetch} and "
                f"the {store.n_chunks(hookpoint)} chunks of the store must all be at least 1"
            )
        self.store, self.batch_size = store, batch_size
        self.hookpoint, self.names = hookpoint, [hookpoint, target] if target else [hookpoint]
        self.seed, self.group_chunks = seed, min(group_chunks, store.n_chunks(hookpoint))
        self.wait_seconds = 0.0
        self._copies = SideStream(device)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="activation-stream")
        width = sum(store.width(name) for name in self.names)
        size = getattr(torch, store.config.dtype).itemsize * store.n_rows * width
        self._held: dict[int, list[Tensor]] | None = {} if self._copies.fits(size) else None
        self._free = [self._buffer() for _ in range(1 + prefetch)]
        self._coming: deque[tuple[Buffer, Future[list[Tensor]]]] = deque()
        groups = partial(chunk_groups, store, hookpoint, seed, size=self.group_chunks)
        self._groups = lru_cache(maxsize=1)(groups)  # by epoch
        self._rows: Buffer | None = None  # of the current group, on its buffer `_current`
        self._start(0, 0, 0)

    def __iter__(self) -> Self:
        if get_worker_info() is not None:
            raise ValueError(
                "an ActivationStream cannot be read in a worker process of a DataLoader: it reads "
                "ahead by itself; use num_workers=0"
            )
        return self

    def __next__(self) -> Tensor:
        """The next [batch_size, d] tensor, bfloat16 (float32 from a float32 store).

        Raises:
            StoreError: the store is damaged.
        """
        began = time.perf_counter()
        batch = self._gather()
        self.wait_seconds += time.perf_counter() - began
        return batch

    def _gather(self) -> Tensor:
        parts, missing = [], self.batch_size
        while missing:
            if (rows := self._rows) is None:
                rows = self._receive()
            take = self._order[self._offset : self._offset + missing]
            parts.append(beside([x.index_select(0, take) for x in rows]))
            missing -= len(take)
            self._offset += len(take)
            if self._offset == len(self._order):
                self._finish_group()
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def state(self) -> dict[str, Any]:
        """JSON values from which `load_state` continues with the next batch."""
        position = {"epoch": self._epoch, "group": self._group, "offset": self._offset}
        return position | self._identity()

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken; the batches that follow are the very same.

        Raises:
            ValueError: the state belongs to another store, hookpoint, seed or group size, whose
                rows come in another order.
        """
        if differ := differences(state, state | self._identity()):
            raise ValueError(
                f"the stream state was taken elsewhere ({differ}); open the stream as it was"
            )
        self._start(state["epoch"], state["group"], state["offset"])

    def close(self) -> None:
        """Stop the reading thread; the stream gives no more batches."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _identity(self) -> dict[str, Any]:
        return {
            "store": self.store.digest(),
            "rows": self.store.n_rows,
            "hookpoint": "->".join(self.names),
            "seed": self.seed,
            "group_chunks": self.group_chunks,
        }

    def _start(self, epoch: int, group: int, offset: int) -> None:
        """Forget what was read ahead and begin at a position."""
        while self._coming:
            buffer, future = self._coming.popleft()
            if not future.cancel():
                future.exception()
            self._free.append(buffer)
        if self._rows is not None:
            self._free.append(self._current)
            self._rows = None
        self._epoch, self._group, self._offset = epoch, group, offset
        self._ahead = (epoch, group)
        while self._free:
            self._read_ahead(self._free.pop())

    def _buffer(self) -> Buffer:
        rows = self.group_chunks * self.store.config.rows_per_chunk
        dtype = getattr(torch, self.store.config.dtype)
        shapes = [(rows, self.store.width(name)) for name in self.names]
        return [self._copies.host_memory(shape, dtype) for shape in shapes]

    def _read_ahead(self, buffer: Buffer) -> None:
        epoch, group = self._ahead
        chunks = self._groups(epoch)[group]
        order = np.random.default_rng([self.seed, epoch, group])
        future = self._thread.submit(self._read_group, chunks, order, buffer)
        self._coming.append((buffer, future))
        self._ahead = self._after(epoch, group)

    def _after(self, epoch: int, group: int) -> tuple[int, int]:
        more = (group + 1) * self.group_chunks < self.store.n_chunks(self.hookpoint)
        return (epoch, group + 1) if more else (epoch + 1, 0)

    def _receive(self) -> Buffer:
        buffer, future = self._coming[0]
        *rows, order = future.result()
        self._coming.popleft()
        self._copies.keep_for_computing(*rows, order)
        self._current, self._rows, self._order = buffer, rows, order
        return rows

    def _read_group(
        self, chunks: list[int], order: np.random.Generator, buffer: Buffer
    ) -> list[Tensor]:
        """The rows of some chunks, one after the other, of each hookpoint, and their order; runs in
        the thread."""
        size, held = self.store.config.rows_per_chunk, self._held or {}
        wanted = [chunk for chunk in chunks if chunk not in held]
        rows = [x[: len(wanted) * size] for x in buffer]
        for name, x in zip(self.names, rows, strict=True):
            self.store.read_chunks(name, wanted, stored_rows(x, self.store.config.dtype))
        places = torch.from_numpy(order.permutation(len(chunks) * size))
        *rows, places = self._copies.deliver(*rows, places)
        if self._held is None:
            return [*rows, places]
        parts = zip(*(x.view(-1, size, x.shape[1]).unbind() for x in rows), strict=True)
        self._held |= dict(zip(wanted, map(list, parts), strict=True))
        whole = zip(*(self._held[chunk] for chunk in chunks), strict=True)
        return [*(torch.cat(x) for x in whole), places]

    def _finish_group(self) -> None:
        self._rows, self._offset = None, 0
        self._epoch, self._group = self._after(self._epoch, self._group)
        self._read_ahead(self._current)


def beside(rows: list[Tensor]) -> Tensor:
    """Rows [B, d] of one hookpoint or of two, as one tensor; of one without a copy."""
    return rows[0] if len(rows) == 1 else torch.cat(rows, 1)


def iterate(store: Store, hookpoint: str, batch_size: int, target: str = "") -> Iterator[Tensor]:
    """Every committed row once, in stored order, as tensors [batch_size, d].

    With a target, rows hold both hookpoints, see `ActivationStream`. The last batch has what
    remains. Batches are never written to again, but those of one chunk share its memory.
    """
    rest: list[Tensor] = []
    for chunk in range(store.n_chunks(hookpoint)):
        names = [hookpoint, target] if target else [hookpoint]
        rows = beside([store.read_rows_as_tensor(name, chunk) for name in names])
        rows = torch.cat([*rest, rows]) if rest else rows
        whole = len(rows) - len(rows) % batch_size
        if whole:
            yield from torch.split(rows[:whole], batch_size)
        rest = [rows[whole:]] if whole < len(rows) else []
    yield from rest
