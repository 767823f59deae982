"""The small file that Snakemake tracks in place of a store: written after the store's seal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pipeline.config.specs import DumpSpec
from pipeline.jobs.json_files import digest, expect_fields, read_json, sha256_of
from sagsae.activations import Store
from sagsae.activations.layout import SEALED


def describe(store: Store, spec: DumpSpec, manifest: Path) -> dict[str, Any]:
    """The manifest: where the store is and what it holds. Deterministic."""
    hookpoints = {}
    for name, width in store.config.hookpoints.items():
        found, shown = store.statistics(name), ("scale", "mean_norm", "max_norm")
        hookpoints[name] = {"d": width} | {field: getattr(found, field) for field in shown}
    return {
        "store": os.path.relpath(store.path, manifest.parent),
        "split": spec.split,
        "rows": store.n_rows,
        "dropped": store.dropped,
        "seal": sha256_of(store.path / SEALED),
        "spec": digest(spec),
        "hookpoints": hookpoints,
    }


def open_store(manifest: Path, expected: str | None = None) -> Store:
    """The store that a manifest names.

    Args:
        manifest: Written by the dump stage.
        expected: Digest of the specification that the store must have been dumped for.

    Raises:
        ValueError: the manifest belongs to another configuration; the message says what to do.
        StoreError: the store is absent or damaged.
    """
    found = read_json(manifest)
    with expect_fields(manifest):
        made_for, store = found["spec"], manifest.parent / found["store"]
    if expected is not None and made_for != expected:
        raise ValueError(
            f"{manifest}: was made for specification {made_for} where {expected} is needed; "
            f"run snakemake on {manifest} to dump the store of this configuration"
        )
    return Store.open(store)
