"""Stage: verify and seal a store that is filled, and record it; the end of a dump under a lease."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.activations.manifests import describe
from pipeline.config.specs import DumpSpec
from pipeline.jobs.cache import STORES, Entry, write_record
from pipeline.jobs.progress import say
from sagsae.activations import Store, StoreConfig, StoreWriter
from sagsae.activations.seal import sealed_rows
from sagsae.memory import needs_memory


def main(spec: DumpSpec, store: Path, out: Path) -> None:
    """Read every chunk that is not sealed, seal the store if all is as it was written, record it.

    Args:
        spec: DumpSpec as JSON
        store: folder of the store, in the cache
        out: manifest to write
    """
    config, blocks = StoreConfig.read(store), spec.rows // spec.dump.rows_per_block
    config = replace(config, n_blocks=blocks)
    entry = Entry(store.parent.parent, STORES, config.provenance["family"])
    with entry.used():
        with entry.making(), needs_memory("chunks of activations"):
            if sealed_rows(store) < config.n_rows:
                say(f"seal {store.name}: no GPU is held")
                with StoreWriter(store, config) as writer:
                    writer.seal()
        write_record(out, describe(Store.open(store, rows=config.n_rows), spec), store)
