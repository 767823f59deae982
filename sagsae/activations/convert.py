"""A store in another layout: compressed or not, other chunks, shards, in a folder or a bucket.

The rows stay the same and in the same order. So a store that was converted is, to the bit, the one
that a dump in that layout makes, if it is given the provenance of that dump.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from sagsae.activations.arrays import open_array
from sagsae.activations.block_rows import write_array
from sagsae.activations.blocks import Report, each_block
from sagsae.activations.commits import Commit, calibration_digest
from sagsae.activations.layout import CALIBRATION, Root, StoreConfig, store_path
from sagsae.activations.pieces import PieceReader
from sagsae.activations.store import Store
from sagsae.activations.writer import StoreWriter
from sagsae.storage import Storage


def convert_store(
    store: Store,
    root: Root,
    name: str,
    *,
    rows_per_chunk: int | None = None,
    profile: Literal["plain", "disk"] | None = None,
    sharded: bool | None = None,
    provenance: Mapping[str, Any] | None = None,
    report: Report | None = None,
) -> Root:
    """Copy a store into another layout, a block a task, see `blocks`. What is there is kept.

    Args:
        store: what is copied.
        root: folder of stores, or a `Storage` of them.
        name: of the copy, without its hash.
        rows_per_chunk: of the copy; as it is without it.
        profile: of the copy; as it is without it.
        sharded: whether each block of a hookpoint is one file; as it is without it.
        provenance: of the copy; without it that of the store, with the digest of its rows as
            `converted_from`, and without its family: no study takes the copy for its own dump.
        report: called as blocks are written, and again as they are verified.

    Returns:
        The place of the copy, verified and sealed.

    Raises:
        ValueError: the layout cannot be, such as chunks that do not divide a block.
        ChunkReadError: the store is damaged.
        StoreError: the place is locked, damaged or of another configuration.
    """
    source = store.config
    if provenance is None:
        kept = {key: value for key, value in source.provenance.items() if key != "family"}
        provenance = {**kept, "converted_from": store.digest()}
    config = replace(
        source,
        rows_per_chunk=rows_per_chunk or source.rows_per_chunk,
        profile=profile or source.profile,
        sharded=source.sharded if sharded is None else sharded,
        n_blocks=len(store.blocks),
        provenance=provenance,
    )
    where = store_path(root, name, config)
    with StoreWriter(where, config) as writer:
        if store.storage.exists(CALIBRATION):
            writer.storage.create(CALIBRATION, store.storage.read(CALIBRATION))
        work = partial(convert_block, store.storage, source, writer.storage, config)
        each_block(work, writer.pending_blocks(), report)
        writer.seal(report)
    return where


def convert_block(
    source: Storage, source_config: StoreConfig, target: Storage, config: StoreConfig, block: int
) -> int:
    """Copy and commit one block; its number. Doing it twice changes nothing.

    Raises:
        ValueError: a piece or the commit of the block is damaged.
    """
    commit = Commit.read(source, source_config, block)
    files, checksums = {}, {}
    for name in config.arrays:
        rows = read_block(source, source_config, commit, name)
        array = open_array(target, config, name, writable=True)
        written = write_array(target, config, array, name, block, [rows])
        files[name], checksums[name] = written
    replace(
        commit,
        run_sha256=config.digest(),
        calibration_sha256=calibration_digest(target),
        files=files,
        crc32c=checksums,
    ).write(target)
    return block


def read_block(storage: Storage, config: StoreConfig, commit: Commit, name: str) -> np.ndarray:
    """All rows of one array in one block, [S, d] or [S] as stored, checked against its commit.

    Raises:
        ValueError: a piece is missing, torn or altered; the message names its file.
    """
    return np.concatenate([rows for _, rows in pieces_of(storage, config, commit, name)])


def pieces_of(
    storage: Storage, config: StoreConfig, commit: Commit, name: str
) -> Iterator[tuple[int, np.ndarray]]:
    """The pieces of one array in one block, with their numbers, each checked.

    Raises:
        ValueError: a piece is missing, torn or altered; the message names its file.
    """
    reader = PieceReader(storage, config, name)
    for piece, expected in enumerate(commit.crc32c[name]):
        size = commit.files[name][reader.file_name(commit.block, piece)]
        try:
            yield piece, reader.read(commit.block, piece, expected, size)
        except ValueError as error:
            file = reader.file(commit.block, piece)
            raise ValueError(
                f"{storage}: {file} {error}; Store.verify() lists the damage"
            ) from None
