"""Reads an activation store. Every chunk read is checked against what was committed.

`verify_store` reads everything in a store and says what is wrong with it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from torch import Tensor
from zarr.buffer.cpu import NDBuffer
from zarr.storage import MemoryStore

from sagsae.activations.arrays import (
    array_metadata,
    as_tensor,
    checksum,
    is_metadata,
    is_plain,
    metadata_files,
    open_array,
    restored,
)
from sagsae.activations.commits import (
    REQUESTS,
    Commit,
    Moments,
    read_commits,
    read_seal,
    remedy,
)
from sagsae.activations.layout import (
    DATA,
    SEALED,
    TOKEN_ARRAYS,
    StoreConfig,
    StoreError,
    channel_of,
    committed_blocks,
    scale_of,
)
from sagsae.activations.storage import Folder, Location, Storage, StorageError, storage_at
from sagsae.files import canonical_json, digest


class Store:
    """A store opened for reading; make one with `Store.open`.

    Only committed blocks exist for a reader. Chunks are counted over them, in order, so that
    chunk i of every hookpoint holds the same rows.

    Attributes:
        storage: the folder, or the place in a bucket.
        config: what is in run.json.
        commits: by block.
    """

    def __init__(self, storage: Storage, config: StoreConfig, commits: dict[int, Commit]) -> None:
        self.storage, self.config, self.commits = storage, config, commits
        self.blocks = sorted(commits)
        self._arrays = {
            name: None if is_plain(storage, config, name) else open_array(storage, config, name)
            for name in config.arrays
        }
        if any(self._arrays.values()):
            # Zarr starts a thread of its own. It happens here because a thread that cannot be
            # started is an error only once: later reads would wait for it for ever.
            zarr.create_group(MemoryStore())

    def __repr__(self) -> str:
        config, rows = self.config, self.n_rows
        held = ", ".join(f"{name} [{rows}, {d}]" for name, d in config.hookpoints.items())
        return f"Store({str(self.storage)!r}: {held}, {'int8' if config.int8 else config.dtype})"

    @property
    def path(self) -> Path:
        """The folder; ValueError for a store in a bucket."""
        if not isinstance(self.storage, Folder):
            raise ValueError(f"{self.storage} is no folder; use Store.storage")
        return self.storage.path

    @classmethod
    def open(cls, where: Location, require_sealed: bool = True, *, rows: int | None = None) -> Self:
        """Open a store and check the commits of its blocks; each read checks its chunk.

        Args:
            where: the folder, see `store_path`, or a URL such as s3://bucket/stores/name.
            require_sealed: False also accepts a dump that is not finished.
            rows: open the first rows alone, whole blocks, as if the store had no more; without it
                all that are sealed.

        Raises:
            ValueError: `rows` is no positive number of whole blocks.
            StoreError: there is no such store, or it is damaged.
        """
        storage = storage_at(where)
        config = StoreConfig.read(storage)
        size = config.rows_per_block
        if rows is not None and (rows < 1 or rows % size):
            raise ValueError(f"{rows} rows are no whole blocks of {size} rows")
        seal = read_seal(storage, config)
        if seal or require_sealed:
            if len(seal) < (rows or size) // size:
                raise StoreError(
                    f"{storage}/{SEALED}: {len(seal) * size} rows are sealed, the dump is not "
                    "finished; run it, or open the store as it is with require_sealed=False"
                )
            blocks = list(range(len(seal)))
        else:
            blocks = committed_blocks(storage)
        if rows is not None:
            config = replace(config, n_blocks=rows // size)
            blocks = [block for block in blocks if block < config.n_blocks]
        commits = read_commits(storage, config, blocks)
        for block, expected in zip(blocks, seal, strict=False):
            if commits[block].sha256 != expected:
                raise StoreError(
                    f"{storage}: block {block} is not the one that was sealed; {remedy(block)}"
                )
        return cls(storage, config, commits)

    @property
    def n_rows(self) -> int:
        """Committed rows."""
        return len(self.blocks) * self.config.rows_per_block

    def width(self, hookpoint: str) -> int:
        """Width d of a hookpoint; KeyError where there is none of this name."""
        if hookpoint not in self.config.hookpoints:
            known = ", ".join(self.config.hookpoints)
            raise KeyError(f"no hookpoint {hookpoint!r} in {self.storage}; it has {known}")
        return self.config.hookpoints[hookpoint]

    def n_chunks(self, hookpoint: str) -> int:
        """Committed chunks of a hookpoint, R rows each."""
        self.width(hookpoint)  # which knows the name, or raises
        return len(self.blocks) * self.config.chunks_per_block

    def block_of_chunk(self, chunk: int) -> int:
        """The block that a chunk belongs to."""
        return self.blocks[chunk // self.config.chunks_per_block]

    def statistics(self, hookpoint: str) -> Moments:
        """Mean, scale and norms over all committed rows, float64."""
        self.width(hookpoint)  # which knows the name, or raises
        return Moments.merged(self.commits[block].moments[hookpoint] for block in self.blocks)

    def digest(self) -> str:
        """sha256 that names the rows: equal digests, equal rows in an equal order."""
        commits = [self.commits[block].sha256 for block in self.blocks]
        return digest(canonical_json([self.config.digest(), commits]))

    @property
    def dropped(self) -> dict[str, int]:
        """Tokens kept out by each rule, over all committed blocks."""
        totals: Counter[str] = Counter()
        for block in self.blocks:
            totals.update(self.commits[block].dropped)
        return dict(totals)

    def read_chunk(self, hookpoint: str, chunk: int, out: np.ndarray | None = None) -> np.ndarray:
        """One chunk, [R, d]: bfloat16 bits in uint16, or float32.

        Args:
            hookpoint: its name.
            chunk: from 0 to `n_chunks` - 1.
            out: where it goes, of that shape and dtype; a new array without it.

        Raises:
            StoreError: the chunk is missing, torn or altered.
        """
        if not 0 <= chunk < (count := self.n_chunks(hookpoint)):
            raise IndexError(f"chunk {chunk} of {hookpoint!r}: there are {count}")
        shape = self.config.rows_per_chunk, self.config.hookpoints[hookpoint]
        dtype = np.dtype(np.uint16 if self.config.dtype == "bfloat16" else np.float32)
        if out is not None and (out.shape, out.dtype) != (shape, dtype):
            raise ValueError(f"out is {out.dtype} {out.shape}, a chunk is {dtype} {shape}")
        block, piece = self.block_of_chunk(chunk), chunk % self.config.chunks_per_block
        if not self.config.int8:
            return self.read(hookpoint, block, piece, out)
        rows, scale = (self.read(name, block, piece) for name in (hookpoint, scale_of(hookpoint)))
        channel = self.read(channel_of(hookpoint), block, 0)
        return restored(rows, scale, channel, np.empty(shape, dtype) if out is None else out)

    def read_chunks(self, hookpoint: str, chunks: Sequence[int], out: np.ndarray) -> None:
        """Several chunks into `out` [len(chunks) * R, d]; of a bucket several are fetched at once.

        Raises:
            StoreError: a chunk is missing, torn or altered.
        """
        size = self.config.rows_per_chunk
        places = [out[i * size : (i + 1) * size] for i in range(len(chunks))]
        if not self.storage.remote:
            for chunk, place in zip(chunks, places, strict=True):
                self.read_chunk(hookpoint, chunk, out=place)
            return
        with ThreadPoolExecutor(REQUESTS, thread_name_prefix="chunks") as threads:
            list(threads.map(partial(self.read_chunk, hookpoint), chunks, places))

    def read_rows_as_tensor(self, hookpoint: str, chunk: int) -> Tensor:
        """One chunk, [R, d], as a bfloat16 (or float32) tensor."""
        return as_tensor(self.read_chunk(hookpoint, chunk))

    def read_tokens(self, block: int) -> dict[str, np.ndarray]:
        """`token_id`, `doc_id` and `position` of a committed block's rows, each [S] int32."""
        if block not in self.commits:
            raise IndexError(f"block {block} of {self.storage} is not committed")
        return {name: self.read(name, block, 0) for name in TOKEN_ARRAYS}

    def _piece(self, array: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and dtype of what has a checksum of its own: R rows, of tokens S."""
        shape = self.config.piece_rows(array), *self.config.width(array)
        return shape, np.dtype(array_metadata(self.config, array)["data_type"])

    def read(self, array: str, block: int, piece: int, out: np.ndarray | None = None) -> np.ndarray:
        """A piece with a checksum of its own: R rows of a hookpoint, or S of a token array.

        Raises:
            StoreError: it is missing, torn or altered.
        """
        commit, files = self.commits[block], self.config.block_files(array, block)
        name = files[piece if len(files) > 1 else 0]
        shape, dtype = self._piece(array)
        out = np.empty(shape, dtype) if out is None else out
        first = block * self.config.block_rows(array) + piece * len(out)
        file = f"{DATA}/{array}/{name}"
        try:
            with self.storage.requests(file):
                found = self._fetch(array, file, commit.files[array][name], first, out)
            if found != commit.crc32c[array][piece]:
                raise ValueError("it does not hold what was committed")
        except StorageError:
            raise
        except FileNotFoundError:
            problem = "is missing"
        except Exception as error:  # codecs raise many kinds; each means an unusable chunk
            problem = f"cannot be used: {error}"
        else:
            return out
        raise StoreError(
            f"{self.storage}: {array!r} rows {first} to {first + len(out) - 1} ({file}) {problem}; "
            f"{remedy(block)}"
        )

    def _fetch(self, array: str, file: str, size: int, first: int, out: np.ndarray) -> str:
        """Read a piece from its file of known size; the checksum of its content."""
        if (stored := self._arrays[array]) is None:
            trailer = bytearray(4)
            with (self.path / file).open("rb") as stream:
                _check_size(os.fstat(stream.fileno()).st_size, size)
                stream.readinto(out.data.cast("B"))
                stream.readinto(trailer)
            content = checksum(out)
            if trailer != bytes.fromhex(content)[::-1]:
                raise ValueError("its content does not have its crc32c")
            return content
        if not self.storage.remote:  # a decoder may not read what is too much
            _check_size(self.storage.size(file), size)
        rows = slice(first, first + len(out))
        stored.get_basic_selection(rows, out=NDBuffer.from_numpy_array(out))
        return checksum(out)

    def dask(self, hookpoint: str) -> Any:
        """All committed rows as a lazy `dask.array.Array`, [n_rows, d] float32.

        One task reads one chunk of R rows, checks it against its commit and converts it: exactly,
        since every bfloat16 value is a float32 value. It runs on threads, or on the active client
        of `dask.distributed`, whose workers must see the store under the same path.

        Raises:
            StoreError: (when computed) a chunk is missing, torn or altered.
        """
        import dask.array as da
        from dask import delayed

        rows = (self.config.rows_per_chunk,) * self.n_chunks(hookpoint)
        return da.map_blocks(
            _float32_chunk,
            store=delayed(self, pure=True),  # sent once per worker, not with every task
            hookpoint=hookpoint,
            chunks=(rows, self.width(hookpoint)),
            meta=np.empty((0, 0), np.float32),
        )

    def __dask_tokenize__(self) -> tuple[str, str, list[int]]:
        name = str(self.storage) if self.storage.remote else str(self.path.absolute())
        return name, self.config.digest(), self.blocks

    def __reduce__(self) -> Any:
        """Without what is open: another process opens its own."""
        return type(self), (self.storage, self.config, self.commits)


def _check_size(found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"it has {found} bytes and its commit says {expected}")


def _float32_chunk(
    store: Store, hookpoint: str, block_id: tuple[int, int] | None = None
) -> np.ndarray:
    """The chunk that dask asks for; without `block_id` dask only asks for the dtype."""
    assert block_id is not None
    return store.read_rows_as_tensor(hookpoint, block_id[0]).float().numpy()


def verify_store(where: Location) -> list[str]:
    """What is wrong with a store, finished or not, reading every chunk once; empty if it is sound.

    Args:
        where: its folder or URL.

    Raises:
        StorageError: its place cannot be reached.
    """
    try:
        store = Store.open(where, require_sealed=False)
    except StoreError as error:
        return [str(error)]
    storage, config = store.storage, StoreConfig.read(where)
    return [
        f"{storage}/{file}: not what run.json makes it; delete SEALED.json of the store and dump "
        "again, which writes it"
        for file in metadata_files(config)
        if not is_metadata(storage, config, file)
    ] + faults_of(store, store.blocks)


def faults_of(store: Store, blocks: Sequence[int]) -> list[str]:
    """What is wrong with the chunks and tokens of some blocks, each read once, a block a thread."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        return list(chain.from_iterable(threads.map(partial(_faults_of_block, store), blocks)))


def _faults_of_block(store: Store, block: int) -> list[str]:
    found = []
    for array in store.config.arrays:
        for piece in range(len(store.commits[block].crc32c[array])):
            try:
                store.read(array, block, piece)
            except StoreError as error:
                found.append(str(error))
    return found
