"""A study's record of an activation store, or of the first blocks of one: its manifest."""

from __future__ import annotations

import os
from operator import index
from pathlib import Path
from typing import Any

from pipeline.jobs.cache import ENTRY, entry_folder
from pipeline.jobs.json_files import digest, expect_fields, read_json
from pipeline.study.made_for import check_made_for
from pipeline.study.specs import DumpSpec
from sagsae.activations.layout import StoreError
from sagsae.activations.storage import Location, Storage, is_url, storage_at
from sagsae.activations.store import Store
from sagsae.activations.verify import verify_store


def describe(store: Store, spec: DumpSpec) -> dict[str, Any]:
    """What the manifest says of the rows that a study reads. Deterministic."""
    hookpoints = {}
    for name, width in store.config.hookpoints.items():
        found, shown = store.statistics(name), ("scale", "mean_norm", "max_norm")
        hookpoints[name] = {"d": width} | {field: getattr(found, field) for field in shown}
    return {
        "split": spec.split,
        "rows": store.n_rows,
        "dropped": store.dropped,
        "sha256": store.digest(),
        "family": store.config.provenance["family"],
        "spec": digest(spec),
        "hookpoints": hookpoints,
    }


def open_store(manifest: Path, expected: str | None = None) -> Store:
    """The store that a manifest names, as if it had no more rows than the study asked for.

    Args:
        manifest: Written by the dump stage.
        expected: Digest of the specification that the store must have been dumped for.

    Raises:
        ValueError: the manifest belongs to another configuration or another store; the message
            says what to do.
        StoreError: the store is absent or damaged.
    """
    found = read_json(manifest)
    with expect_fields(manifest):
        rows, sha256 = index(found["rows"]), found["sha256"]
        place = recorded_store(manifest, found)
    if expected is not None:
        check_made_for(manifest, found, {"spec": expected})
    again = f"delete {manifest} and run snakemake again: it makes what is missing"
    try:
        store = Store.open(place, rows=rows)
    except (StoreError, ValueError) as error:
        raise StoreError(f"{manifest}: its store cannot be used: {error}; {again}") from error
    if store.digest() != sha256:
        raise ValueError(f"{manifest}: the first {rows} rows of {place} are others now; {again}")
    return store


def read_store(place: Location) -> None:
    """Read every chunk of a store.

    Raises:
        StoreError: something is wrong, a line each.
    """
    if faults := verify_store(place):
        raise StoreError("\n".join(faults))


def recorded_store(record: Path, content: dict[str, Any]) -> Storage:
    """The store that a record names by its URL or by its folder, see ``write_record``."""
    named = content.get(ENTRY, "")
    return storage_at(named if is_url(named) else os.fspath(entry_folder(record, content)))
