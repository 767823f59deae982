"""A study's record of an activation store, or of the first blocks of one: its manifest.

Also the modules that a store is dumped from.
"""

from __future__ import annotations

import os
from operator import index
from pathlib import Path
from typing import Any

from pipeline.jobs.cache import ENTRY, entry_folder
from pipeline.jobs.json_files import digest, expect_fields, read_json
from pipeline.study.made_for import check_made_for
from pipeline.study.models import TappedModel
from pipeline.study.places import Place
from pipeline.study.specs import DumpSpec
from sagsae.activations.hookpoints import Hookpoint, default_hookpoints
from sagsae.activations.layout import StoreError
from sagsae.activations.storage import Storage, is_url, storage_at
from sagsae.activations.store import Store


def describe(store: Store, spec: DumpSpec) -> dict[str, Any]:
    """What the manifest says of the rows that a study reads. Deterministic."""
    hookpoints = {}
    for name, width in store.config.hookpoints.items():
        statistics, shown = store.statistics(name), ("scale", "mean_norm", "max_norm")
        hookpoints[name] = {"d": width} | {field: getattr(statistics, field) for field in shown}
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
    record = read_json(manifest)
    with expect_fields(manifest):
        rows, sha256 = index(record["rows"]), record["sha256"]
        place = recorded_store(manifest, record)
    if expected is not None:
        check_made_for(manifest, record, {"spec": expected})
    again = f"delete {manifest} and run snakemake again: it makes what is missing"
    try:
        store = Store.open(place, rows=rows)
    except (StoreError, ValueError) as error:
        raise StoreError(f"{manifest}: its store cannot be used: {error}; {again}") from error
    if store.digest() != sha256:
        raise ValueError(f"{manifest}: the first {rows} rows of {place} are others now; {again}")
    return store


def recorded_store(record: Path, content: dict[str, Any]) -> Storage:
    """The store that a record names by its URL or by its folder, see ``write_record``."""
    named = content.get(ENTRY, "")
    return storage_at(named if is_url(named) else os.fspath(entry_folder(record, content)))


def hookpoints_of(model: TappedModel, names: list[str], model_type: str) -> dict[str, Hookpoint]:
    """The hookpoints of one model that arrays of its stores are of.

    Args:
        model: The model's section; ``hookpoints`` templates override the architecture's own.
        names: Names of the arrays, see ``pipeline.study.places``.
        model_type: Transformers model type, for the known module paths.

    Raises:
        ValueError: no path is known; the message says which key to add.
    """
    points, given = {}, model.hookpoints
    for name in names:
        place = Place.named(name)
        layer, hookpoint = model.depth(place), place.source
        try:
            # Not str.format: a template could then reach into the objects it is given.
            path = (
                given[hookpoint].replace("{layer}", str(layer))
                if given
                else default_hookpoints(model_type, layer)[hookpoint].path
            )
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"model {model.name}: {error}; name its modules under models[].hookpoints, "
                "for example resid: model.layers.{layer}"
            ) from None
        points[name] = Hookpoint.at(name, path)
    return points


def stored_hookpoints(store: Store, names: list[str]) -> dict[str, Hookpoint]:
    """The modules that a store was dumped from."""
    modules = store.config.provenance["dump"]["modules"]
    return {name: Hookpoint.at(name, modules[name]) for name in names}
