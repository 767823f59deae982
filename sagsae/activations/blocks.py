"""Work on every block of a store: a task a block, on dask's workers or on threads.

Where a client of `dask.distributed` is active, the blocks are its tasks: on processes of this
machine, or on whatever cluster its scheduler has. Every worker must see the store under the same
path or URL. A worker that is killed loses nothing: the scheduler gives its blocks to others.
Otherwise threads of this process take the blocks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

import dask

Item = TypeVar("Item")
Result = TypeVar("Result")
Report = Callable[[int, int], None]
"""Called with the blocks that are done and those there are."""


def active_client() -> Any:
    """The client of `dask.distributed` that is current; None without one."""
    if "distributed" not in sys.modules:
        return None
    from distributed import get_client

    try:
        return get_client()
    except ValueError:
        return None


def each_block(
    work: Callable[[Item], Result], items: Sequence[Item], report: Report | None = None
) -> list[Result]:
    """What `work` gives for each block, in the order of `items`.

    Args:
        work: can be pickled, and can be done twice.
        items: what it needs of each block.
        report: called as blocks are done.

    Raises:
        BaseException: what `work` raised first.
    """
    found: dict[int, Result] = {}
    client = active_client()
    done = _on_threads(work, items) if client is None else _on_client(client, work, items)
    for number, result in done:
        found[number] = result
        if report is not None:
            report(len(found), len(items))
    return [found[number] for number in range(len(items))]


def _on_threads(
    work: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[tuple[int, Result]]:
    count = dask.config.get("num_workers", None) or len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(count, thread_name_prefix="blocks") as threads:
        numbers = {threads.submit(work, item): number for number, item in enumerate(items)}
        try:
            for future in as_completed(numbers):
                yield numbers[future], future.result()
        finally:
            threads.shutdown(cancel_futures=True)


def _on_client(
    client: Any, work: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[tuple[int, Result]]:
    import distributed

    futures = client.map(work, items, pure=False)
    numbers = {future.key: number for number, future in enumerate(futures)}
    if sys.stdout.isatty():
        distributed.progress(futures, notebook=False)
    finished: Any = distributed.as_completed
    for future, result in finished(futures, with_results=True):
        yield numbers[future.key], result
