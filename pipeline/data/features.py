"""Stage: rows whose features are known fill a store, in the place of a language model's.

The store has its truth beside it: the features, from which its rows can be drawn again.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pipeline.data.manifests import describe
from pipeline.jobs.cache import STORES, Entry, write_record
from pipeline.jobs.json_files import digest
from pipeline.jobs.progress import Progress
from pipeline.study.specs import DumpSpec
from sagsae.activations.layout import FEATURES, StoreConfig, StoreError, store_path
from sagsae.activations.storage import Storage, storage_at
from sagsae.activations.store import Store
from sagsae.activations.writer import StoreWriter
from sagsae.synthetic.features import BLOCK, Drawn, KnownFeatures

# In the provenance of the store: seed of its rows. In the cursor of a block: sha256 of FEATURES.
ROW_SEED, SHA256 = "row_seed", "features_sha256"


def read_features(store: Store) -> KnownFeatures | None:
    """The features of which the rows of a store are made; None where they are not known.

    Raises:
        StoreError: the file of features is not the one that every block was drawn from.
    """
    if ROW_SEED not in store.config.provenance:
        return None
    there = store.storage.exists(FEATURES)
    content = store.storage.read(FEATURES) if there else b""
    drawn_from = {commit.cursor[SHA256] for commit in store.commits.values()}
    if drawn_from != {hashlib.sha256(content).hexdigest()}:
        raise StoreError(
            f"{store.storage}/{FEATURES}: damaged: delete the store, and dump it again"
        )
    return KnownFeatures.of_bytes(content)


def drawn_again(store: Store, features: KnownFeatures) -> Iterator[Drawn]:
    """The rows of a store, block by block, with the sizes of their features; not as permuted."""
    for block in store.blocks:
        yield from _drawn(features, store.config, block)


def _drawn(features: KnownFeatures, config: StoreConfig, block: int) -> Iterator[Drawn]:
    """The rows of a block of a store, before it permutes them; some at a time."""
    rows = math.gcd(config.rows_per_block, BLOCK)
    parts = config.rows_per_block // rows
    for number in range(block * parts, (block + 1) * parts):
        yield features.block(config.provenance[ROW_SEED], number, rows)


def _fill(
    config: StoreConfig, name: str, make: Callable[[], KnownFeatures], root: Storage
) -> Store:
    """Write the blocks that are not there, and seal them."""
    size, progress = config.rows_per_block, Progress(f"draw {name}", config.n_rows, "rows")
    with StoreWriter(store_path(root, name, config), config) as writer:
        if not writer.storage.exists(FEATURES):
            writer.storage.write(FEATURES, make().to_bytes())
        content = writer.storage.read(FEATURES)
        features, known = KnownFeatures.of_bytes(content), hashlib.sha256(content).hexdigest()
        for block in writer.pending_blocks():
            rows = torch.cat([drawn.x for drawn in _drawn(features, config, block)])
            none, numbers = np.zeros(size, np.int64), np.arange(block * size, (block + 1) * size)
            writer.write_block(
                block,
                dict.fromkeys(config.hookpoints, rows),
                token_id=none,
                doc_id=numbers,
                position=none,
                cursor={SHA256: known},
                dropped={},
            )
            progress.update((block + 1) * size)
        writer.seal()
        return Store.open(writer.storage)


def main(spec: DumpSpec, cache: Path, out: Path, stores: str = "") -> None:
    """Draw the rows that are not there yet, and record the store.

    Args:
        spec: DumpSpec as JSON, of rows whose features are known
        cache: folder of the cache
        out: manifest to write
        stores: folder or s3:// URL of the stores; the cache's own where it is not given
    """
    if (source := spec.source) is None:
        raise ValueError(f"model {spec.model.name}: a language model, whose rows stage dump stores")
    name, family = f"{spec.model.name}-{spec.split}", digest(spec.model_dump(exclude={"rows"}))
    row_seed = int(digest([source.seed, spec.split]), 16)
    asked = source.model_dump(exclude={"kind", "features", "seed"})
    make = partial(KnownFeatures.make, source.features, spec.model.d_model, source.seed, **asked)
    config = StoreConfig(
        hookpoints=dict.fromkeys(spec.hookpoints, spec.model.d_model),
        rows_per_chunk=spec.dump.rows_per_chunk,
        rows_per_block=spec.dump.rows_per_block,
        n_blocks=spec.rows // spec.dump.rows_per_block,
        seed=spec.seed,
        int8=spec.dump.dtype == "int8",
        provenance={"model": spec.model.name, "family": family, ROW_SEED: row_seed},
    )
    entry = Entry(cache, STORES, family)
    with entry.used(), entry.making():
        store = _fill(config, name, make, storage_at(stores or cache / STORES))
        write_record(out, describe(store, spec), store.storage)
