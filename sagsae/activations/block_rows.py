"""The rows of one block on their way to the disk: in order, checked, summed up, flushed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from sagsae.activations.arrays import crc32c, is_plain
from sagsae.activations.commits import STATISTICS_ROWS, RunningMoments
from sagsae.activations.errors import NonFiniteActivationError
from sagsae.activations.layout import DATA, StoreConfig
from sagsae.storage import Storage

REQUESTS = 16
"""Objects of one block that are written at the same time."""


def ordered_parts(
    config: StoreConfig,
    name: str,
    rows: np.ndarray,
    source: np.ndarray,
    documents: np.ndarray,
    sums: RunningMoments,
) -> Iterator[np.ndarray]:
    """The rows of a block in their order, some chunks at a time, which `sums` adds up.

    The parts are small enough to stay in a processor's cache until they are written. A shard
    is one part, because Zarr writes it whole.
    """
    chunk, size = config.rows_per_chunk, len(source)
    step = size if config.sharded else min(size, math.lcm(chunk, STATISTICS_ROWS))
    for start in range(0, size, step):
        part = rows[source[start : start + step]]
        finite = np.isfinite(sums.add(part))
        if not finite.all():
            raise NonFiniteActivationError(
                f"hookpoint {name!r} gives NaN or infinity, for one in document "
                f"{documents[start + int(finite.argmin())]}; run the model in bfloat16 or "
                "float32 instead of float16, or leave that document out"
            )
        yield part


def write_array(
    storage: Storage,
    config: StoreConfig,
    array: Any,
    name: str,
    block: int,
    parts: Iterable[np.ndarray],
) -> tuple[dict[str, int], list[str]]:
    """Write and flush one block of an array; its files' sizes and its pieces' checksums.

    The file of an uncompressed chunk is written as it is. Zarr writes the same bytes, in one thread
    for all threads that ask it to, and computes the checksum by itself.
    """
    folder = f"{DATA}/{name}"
    names, piece = config.block_files(name, block), config.piece_rows(name)
    plain, checksums, sizes = is_plain(config, name), list[str](), dict[str, int]()
    if not plain or not storage.remote:
        for file in names:  # Zarr would first read what is left of a damaged shard, and fail
            storage.delete(f"{folder}/{file}")
    per_file = config.rows_per_block // len(names)
    files = iter(names)
    at = block * config.rows_per_block
    with _side_by_side(REQUESTS if storage.remote else 1) as do:
        for rows in parts:
            for start in range(0, len(rows), per_file):
                whole, file = rows[start : start + per_file], next(files)
                sums = [crc32c(whole[i : i + piece]) for i in range(0, per_file, piece)]
                if plain:
                    content, trailer = whole.data.cast("B"), bytes.fromhex(sums[0])[::-1]
                    do(partial(storage.write, f"{folder}/{file}", content, trailer, flush=False))
                    sizes[file] = len(content) + len(trailer)
                else:
                    array[at : at + per_file] = whole
                checksums, at = checksums + sums, at + per_file
    storage.settle([*(f"{folder}/{file}" for file in names), folder])
    if not plain:
        sizes = {file: storage.size(f"{folder}/{file}") for file in names}
    return sizes, checksums


@contextmanager
def _side_by_side(count: int) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Yield what does a piece of work: at once, or in one of several threads.

    In threads, no more pieces wait than there are threads. All are done at the end.
    """
    if count == 1:
        yield lambda work: work()
        return
    running: deque[Future[None]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="upload") as threads:

        def do(work: Callable[[], None]) -> None:
            if len(running) >= count:
                running.popleft().result()
            running.append(threads.submit(work))

        yield do
        for future in running:
            future.result()
