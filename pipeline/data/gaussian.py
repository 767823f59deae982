"""Stage: a null, rows from the Gaussian that has mean and covariance of another model's store.

Both splits are drawn from the moments of the training store, and each row has token, document and
position of the real row in its place.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.data.manifests import describe, open_store
from pipeline.jobs.cache import STORES, Entry, using, write_record
from pipeline.jobs.json_files import digest
from pipeline.jobs.progress import Progress
from pipeline.study.specs import DumpSpec
from sagsae.activations.layout import CALIBRATION, StoreConfig, store_path
from sagsae.activations.storage import Storage, storage_at
from sagsae.activations.store import Store
from sagsae.activations.stream import iterate
from sagsae.activations.writer import StoreWriter


def moments(store: Store, hookpoint: str) -> tuple[Tensor, Tensor]:
    """Mean [d] of the rows, and the symmetric square root [d, d] of their covariance, float64."""
    mean = torch.from_numpy(store.statistics(hookpoint).mean)
    total = mean.new_zeros(len(mean), len(mean))
    for rows in iterate(store, hookpoint, 8192):
        centred = rows.double() - mean
        total.addmm_(centred.T, centred)
    values, vectors = torch.linalg.eigh(total / store.n_rows)
    return mean, vectors * values.clamp_min(0).sqrt() @ vectors.T


def _fill(config: StoreConfig, spec: DumpSpec, train: Store, real: Store, root: Storage) -> Store:
    """Write the blocks that are not there, and seal them."""
    name, size, seed = f"{spec.model.name}-{spec.split}", config.rows_per_block, config.seed
    known = {hookpoint: moments(train, hookpoint) for hookpoint in config.hookpoints}
    progress = Progress(f"draw {name}", real.n_rows, "rows")

    def rows(hookpoint: str, block: int) -> Tensor:
        mean, root_of_covariance = known[hookpoint]
        key = int(digest([spec.seed, spec.split, hookpoint, block]), 16)
        normal = np.random.default_rng(key).standard_normal((size, len(mean)), np.float32)
        return torch.from_numpy(normal) @ root_of_covariance.float() + mean.float()

    with StoreWriter(store_path(root, name, config), config) as writer:
        if not writer.storage.exists(CALIBRATION):
            writer.storage.write(CALIBRATION, real.storage.read(CALIBRATION))
        for block in writer.pending_blocks():
            # Where the writer's permutation of the block takes each row from.
            back = np.argsort(np.random.default_rng([seed, block]).permutation(size))
            commit, tokens = real.commits[block], real.read_tokens(block)
            writer.write_block(
                block,
                {hookpoint: rows(hookpoint, block) for hookpoint in known},
                **{array: values[back] for array, values in tokens.items()},
                cursor=commit.cursor,
                dropped=commit.dropped,
            )
            progress.update((block + 1) * size)
        writer.seal()
        return Store.open(writer.storage)


def main(
    spec: DumpSpec,
    train_manifest: Path,
    manifest: Path,
    cache: Path,
    out: Path,
    stores: str = "",
) -> None:
    """Draw the rows that are not there yet, and record the store.

    Args:
        spec: DumpSpec as JSON, of a model that is like another one
        train_manifest: manifest of the other one's training store
        manifest: of the other one's store of this split
        cache: folder of the cache
        out: manifest to write
        stores: folder or s3:// URL of the stores; the cache's own where it is not given
    """
    with using(*{train_manifest, manifest}):
        train, real = open_store(train_manifest, spec.like), open_store(manifest)
        key = digest([digest(spec), train.digest(), real.digest()])
        named = {"model": spec.model.name, "like": train.digest(), "family": key}
        config = replace(real.config, provenance={**real.config.provenance, **named})
        entry = Entry(cache, STORES, key)
        with entry.used(), entry.making():
            store = _fill(config, spec, train, real, storage_at(stores or cache / STORES))
            write_record(out, describe(store, spec), store.storage)
