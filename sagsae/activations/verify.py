"""Reads everything in a store and says what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain

from sagsae.activations.arrays import is_metadata, metadata_files
from sagsae.activations.layout import StoreConfig, StoreError
from sagsae.activations.storage import Location
from sagsae.activations.store import Store


def verify_store(where: Location) -> list[str]:
    """What is wrong with a store, finished or not, reading every chunk once; empty if it is sound.

    Args:
        where: its folder or URL.

    Raises:
        StorageError: its place cannot be reached.
    """
    try:
        store = Store.open(where, require_sealed=False)
    except StoreError as error:
        return [str(error)]
    storage, config = store.storage, StoreConfig.read(where)
    return [
        f"{storage}/{file}: not what run.json makes it; delete SEALED.json of the store and dump "
        "again, which writes it"
        for file in metadata_files(config)
        if not is_metadata(storage, config, file)
    ] + faults_of(store, store.blocks)


def faults_of(store: Store, blocks: Sequence[int]) -> list[str]:
    """What is wrong with the chunks and tokens of some blocks, each read once, a block a thread."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        return list(chain.from_iterable(threads.map(partial(_faults_of_block, store), blocks)))


def _faults_of_block(store: Store, block: int) -> list[str]:
    found = []
    for array in store.config.arrays:
        for piece in range(len(store.commits[block].crc32c[array])):
            try:
                store.read(array, block, piece)
            except StoreError as error:
                found.append(str(error))
    return found
