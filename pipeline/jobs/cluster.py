"""Whose processes work on the blocks of a store: dask's, or the threads of this one.

Commands that read whole stores (``verify``, ``cache verify``, ``statistics``, ``convert``) run on
``dask.distributed``. The scheduler is the one that ``--scheduler`` or dask's own configuration
names (``DASK_SCHEDULER_ADDRESS``); without one, a cluster of this machine, a process a core. To
start that takes some seconds, more than it saves on a small store: below ``LOCAL_BYTES`` threads of
this process do the work, and so they do where ``distributed`` is not installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import dask

from pipeline.jobs.progress import Progress, say

if TYPE_CHECKING:
    from sagsae.activations import Store

TIMEOUT = "30s"
LOCAL_BYTES = 8 * 2**30
"""About what threads read and check in the time in which a local cluster starts and ends."""


@contextmanager
def cluster(scheduler: str = "", size: int = 0, threads: int = 0) -> Iterator[None]:
    """Let the blocks of stores be worked on by a cluster, or by threads.

    Args:
        scheduler: Address of a scheduler, such as tcp://host:8786; "local" starts a cluster here
            whatever the size, "threads" never does.
        size: Bytes that are to be read.
        threads: Of this machine that may be used; 0 for all cores.

    Raises:
        ValueError: a scheduler is named and ``distributed`` is not installed, or none answers.
    """
    threads = threads or len(os.sched_getaffinity(0))
    address = scheduler or dask.config.get("scheduler-address", None) or ""
    there = find_spec("distributed") is not None
    if address not in ("", "threads") and not there:
        raise ValueError("install distributed: `pip install 'sagsae[cluster]'`")
    large = size >= LOCAL_BYTES and threads > 1 and there
    if address == "threads" or (not address and not large):
        with dask.config.set(scheduler="threads", num_workers=threads):
            yield
        return
    from distributed import Client, LocalCluster

    if address not in ("", "local"):
        try:
            client = Client(address, timeout=TIMEOUT)
        except (OSError, TimeoutError) as error:
            raise ValueError(f"no scheduler of dask answers at {address}: {error}") from None
        with client:
            say(f"{len(client.scheduler_info()['workers'])} workers of {address}")
            yield
        return
    with (
        LocalCluster(
            n_workers=threads, threads_per_worker=1, dashboard_address=None, memory_limit=0
        ) as workers,
        Client(workers),
    ):
        say(f"{threads} processes of dask on this machine")
        yield


def reporter(label: str) -> Callable[[int, int], None]:
    """What prints lines of progress as blocks are done."""
    progress = Progress(label, 1, "blocks")

    def report(done: int, total: int) -> None:
        progress.total = total
        progress.update(done)

    return report


def size_of_rows(store: Store) -> int:
    """Bytes of the activations of a store before compression."""
    values = sum(store.config.hookpoints.values()) * store.n_rows
    return values * store.config.storage_dtype.itemsize
