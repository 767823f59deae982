"""Checks of a store against its commits. Each returns every fault it finds.

Sizes are compared whenever a store is opened; contents by `content_faults`, one dask task per
chunk, so a dask cluster's client spreads a large store over its workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import dask
import numpy as np
import zarr

from sagsae.activations.arrays import crc32c, open_array
from sagsae.activations.commits import Commit, block_fault
from sagsae.activations.errors import Fault
from sagsae.activations.layout import (
    DATA,
    SEALED,
    TOKEN_ARRAYS,
    StoreConfig,
    array_names,
    block_files,
    commit_path,
    rows_per_read,
)
from sagsae.files import digest, read_signed_json


def commits_digest(path: Path, config: StoreConfig) -> str:
    """sha256 over all commit files of a full store, in block order."""
    blocks = range(config.n_blocks)
    return digest(b"".join(commit_path(path, block).read_bytes() for block in blocks))


def quick_faults(path: Path, config: StoreConfig, commits: Mapping[int, Commit]) -> list[Fault]:
    """What can be found without reading a chunk: metadata, sizes and the seal."""
    return [
        *_array_faults(path, config),
        *_size_faults(path, config, commits),
        *_seal_faults(path, config, commits),
    ]


def _array_faults(path: Path, config: StoreConfig) -> Iterator[Fault]:
    remedy = "Restore the file, or delete the store and dump it again"
    for name in array_names(config):
        file = f"{DATA}/{name}/zarr.json"
        try:
            array = open_array(path, name)
        except Exception as error:  # zarr raises many kinds; each means an unusable array
            yield Fault(file, f"cannot be opened ({error!r})", remedy)
            continue
        token = name in TOKEN_ARRAYS
        shape = (config.n_rows,) if token else (config.n_rows, config.hookpoints[name])
        dtype = np.dtype(np.int32) if token else config.storage_dtype
        chunk = rows_per_read(config, name)
        if (array.shape, array.dtype, array.chunks[0]) != (shape, dtype, chunk):
            problem = (
                f"describes {array.dtype} {array.shape} in chunks of {array.chunks[0]} rows where "
                f"run.json has {dtype} {shape} in chunks of {chunk}"
            )
            yield Fault(file, problem, remedy)


def _size_faults(path: Path, config: StoreConfig, commits: Mapping[int, Commit]) -> list[Fault]:
    faults = []
    for block, commit in commits.items():
        for name, sizes in commit.files.items():
            for file, size in sizes.items():
                try:
                    found = (path / DATA / name / file).stat().st_size
                except FileNotFoundError:
                    problem = f"missing; the commit of block {block} has {size} bytes"
                else:
                    if found == size:
                        continue
                    problem = f"{found} bytes where the commit of block {block} has {size}"
                faults.append(block_fault(f"{DATA}/{name}/{file}", problem, block))
    return faults


def _seal_faults(path: Path, config: StoreConfig, commits: Mapping[int, Commit]) -> Iterator[Fault]:
    if not (path / SEALED).exists():
        return
    remedy = f"Delete {SEALED} and run the dump again: it verifies the blocks and seals"
    try:
        seal = read_signed_json(path / SEALED)
        if len(commits) != config.n_blocks:
            raise ValueError(f"{len(commits)} usable commits of {config.n_blocks} blocks")
        if seal["run_sha256"] != config.digest():
            raise ValueError("made for another run.json")
        if seal["commits_sha256"] != commits_digest(path, config):
            raise ValueError("the commits are not those that were sealed")
    except (ValueError, KeyError, FileNotFoundError) as error:
        yield Fault(SEALED, str(error), remedy)


def content_faults(path: Path, config: StoreConfig, commits: Mapping[int, Commit]) -> list[Fault]:
    """Reads every committed chunk and compares it with its commit.

    Files of the wrong size are reported once, by their size.
    """
    faults = _size_faults(path, config, commits)
    skip, tasks = {fault.file for fault in faults}, []
    for name in array_names(config):
        array, rows = open_array(path, name), rows_per_read(config, name)
        check = dask.delayed(_check_piece, traverse=False)
        for block, commit in commits.items():
            files = block_files(config, name, block)
            first = block * config.rows_per_block
            for i, expected in enumerate(commit.crc32c[name]):
                file = f"{DATA}/{name}/{files[i if len(files) > 1 else 0]}"
                if file not in skip:
                    tasks.append(check(array, first + i * rows, rows, expected, file, block))
    return faults + [fault for fault in dask.compute(*tasks) if fault is not None]


def _check_piece(
    array: zarr.Array, first: int, rows: int, expected: str, file: str, block: int
) -> Fault | None:
    try:
        found = crc32c(np.asarray(array[first : first + rows]))
    except Exception as error:  # whatever a codec raises, the chunk cannot be read
        return block_fault(file, f"cannot be decoded ({error})", block)
    if found == expected:
        return None
    where = f"rows {first} to {first + rows - 1}"
    return block_fault(file, f"crc32c of {where} is {found}, committed {expected}", block)
