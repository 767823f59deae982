"""Stage: verify and seal a store that is filled, and record it; the end of a dump under a lease."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pipeline.activations.manifests import describe
from pipeline.config.specs import DumpSpec
from pipeline.jobs.cache import STORES, Entry, write_record
from pipeline.jobs.progress import say
from sagsae.activations import Store, StoreConfig, StoreWriter
from sagsae.activations.seal import sealed_rows
from sagsae.memory import needs_memory
from sagsae.storage import Storage, storage_at


@needs_memory("chunks of activations")
def seal_store(store: Storage, rows: int) -> None:
    """Read every chunk that is not sealed, and seal the store if all is as it was written.

    Metadata of its arrays that is missing or damaged is written again.

    Args:
        store: Filled up to these rows.
        rows: Of whole blocks.
    """
    config = StoreConfig.read(store)
    with StoreWriter(store, replace(config, n_blocks=rows // config.rows_per_block)) as writer:
        if sealed_rows(store) < rows:
            writer.seal()


def main(spec: DumpSpec, store: str, cache: Path, out: Path, held: int = -1) -> None:
    """Seal a store and record it.

    Args:
        spec: DumpSpec as JSON
        store: folder or s3:// URL of the store
        cache: folder of the cache
        out: manifest to write
        held: descriptor of the lock by which the dump has kept the store from being pruned
    """
    place = storage_at(store)
    config = StoreConfig.read(place)
    rows = spec.rows // config.rows_per_block * config.rows_per_block
    entry = Entry(cache, STORES, config.provenance["family"])
    with entry.used():
        if held >= 0:
            with suppress(OSError):  # it ends with this process at the latest
                os.close(held)
        with entry.making():
            say(f"seal {place.name}: no GPU is held")
            seal_store(place, rows)
        write_record(out, describe(Store.open(place, rows=rows), spec), place)
