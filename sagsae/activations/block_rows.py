"""The rows of one block on their way to the disk: in order, checked, summed up, flushed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sagsae.activations.arrays import crc32c, is_plain, write_plain
from sagsae.activations.commits import STATISTICS_ROWS, RunningMoments
from sagsae.activations.errors import NonFiniteActivationError
from sagsae.activations.layout import DATA, StoreConfig
from sagsae.files import fsync_path


def ordered_parts(
    config: StoreConfig,
    name: str,
    rows: np.ndarray,
    source: np.ndarray,
    documents: np.ndarray,
    sums: RunningMoments,
) -> Iterator[np.ndarray]:
    """The rows of a block in their order, some chunks at a time, which `sums` adds up.

    The parts are small enough to stay in a processor's cache until they are written. A shard
    is one part, because Zarr writes it whole.
    """
    chunk, size = config.rows_per_chunk, len(source)
    step = size if config.sharded else min(size, math.lcm(chunk, STATISTICS_ROWS))
    for start in range(0, size, step):
        part = rows[source[start : start + step]]
        finite = np.isfinite(sums.add(part))
        if not finite.all():
            raise NonFiniteActivationError(
                f"hookpoint {name!r} gives NaN or infinity, for one in document "
                f"{documents[start + int(finite.argmin())]}; run the model in bfloat16 or "
                "float32 instead of float16, or leave that document out"
            )
        yield part


def write_array(
    path: Path,
    config: StoreConfig,
    array: Any,
    name: str,
    block: int,
    parts: Iterable[np.ndarray],
) -> tuple[dict[str, int], list[str]]:
    """Write and flush one block of an array; its files' sizes and its pieces' checksums."""
    folder = path / DATA / name
    names, piece = config.block_files(name, block), config.piece_rows(name)
    for file in names:  # Zarr would first read what is left of a damaged shard, and fail
        (folder / file).unlink(missing_ok=True)
    per_file = config.rows_per_block // len(names)
    plain, checksums = is_plain(config, name), list[str]()
    files = iter([folder / file for file in names])
    at = block * config.rows_per_block
    for rows in parts:
        for start in range(0, len(rows), per_file):
            whole, target = rows[start : start + per_file], next(files)
            sums = [crc32c(whole[i : i + piece]) for i in range(0, per_file, piece)]
            if plain:
                write_plain(target, whole, *sums)
            else:
                array[at : at + per_file] = whole
            checksums, at = checksums + sums, at + per_file
    for file in names:
        fsync_path(folder / file)
    fsync_path(folder)
    return {file: (folder / file).stat().st_size for file in names}, checksums
