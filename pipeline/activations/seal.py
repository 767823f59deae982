"""Stage: verify and seal a store that is filled, and write its manifest; the dump ends with it."""

from __future__ import annotations

from pathlib import Path

from pipeline.activations.manifests import describe
from pipeline.config.specs import DumpSpec
from pipeline.jobs.json_files import write_json
from pipeline.jobs.progress import say
from pipeline.jobs.stage import locked
from sagsae.activations import Store, StoreConfig, StoreWriter
from sagsae.activations.layout import SEALED
from sagsae.memory import needs_memory


def main(spec: DumpSpec, store: Path, out: Path) -> None:
    """Read every chunk of the store, seal it if all is as it was written, and describe it.

    Args:
        spec: DumpSpec as JSON
        store: folder of the store
        out: manifest to write
    """
    with locked(out.parent, out.stem), needs_memory("chunks of activations"):
        if not (store / SEALED).exists():
            say(f"seal {store.name}: no GPU is held")
            with StoreWriter(store, StoreConfig.read(store)) as writer:
                writer.seal()
        write_json(out, describe(Store.open(store), spec, out))
