"""Where the activation stores of a study lie, and the one of a family among them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pipeline.jobs.cache import ENTRY, STORES, entry_folder
from sagsae.activations import Store, StoreError
from sagsae.activations.commits import committed_blocks
from sagsae.activations.layout import CALIBRATION, RUN, StoreConfig
from sagsae.storage import Storage, is_url, storage_at


def stores_at(cache: Path, named: str) -> Storage:
    """The folder or the URL of all stores; the cache's own folder where none is named."""
    return storage_at(named or cache / STORES)


def family_store(stores: Storage, name: str, family: str) -> Storage | None:
    """The store of a family, finished or not.

    Args:
        stores: Where to look.
        name: Of a store, without the hash.
        family: In its provenance.
    """
    for folder in stores.folders():
        if not folder.startswith(f"{name}-"):
            continue
        try:
            if StoreConfig.read(stores / folder).provenance.get("family") == family:
                return stores / folder
        except StoreError:  # whoever dumps it mends it, or says what is wrong
            continue
    return None


def find_store(stores: Storage, name: str, family: str, rows: int) -> Store | None:
    """The first rows of the store of a family, if they are all there, verified and sound."""
    if (found := family_store(stores, name, family)) is None:
        return None
    try:
        return Store.open(found, rows=rows)
    except StoreError:
        return None


def is_filled(store: Storage, rows: int, rows_per_block: int) -> bool:
    """Whether nothing is missing of the first rows that needs the model; sealed or not."""
    return store.exists(CALIBRATION) and set(range(rows // rows_per_block)) <= set(
        committed_blocks(store)
    )


def is_there(store: Storage) -> bool:
    """Whether anything is left of a store."""
    return store.exists(RUN) or bool(store.names() or store.folders())


def recorded_store(record: Path, content: dict[str, Any]) -> Storage:
    """The store that a record names by its URL or by its folder, see ``write_record``."""
    named = content.get(ENTRY, "")
    return storage_at(named if is_url(named) else os.fspath(entry_folder(record, content)))
