"""Reads an activation store. Every chunk read is checked against what was committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from dask import delayed
from torch import Tensor

from sagsae.activations.arrays import as_float32, as_tensor
from sagsae.activations.commits import Commit, Statistics, read_commits
from sagsae.activations.errors import ChunkReadError, Fault, StoreFaultsError
from sagsae.activations.layout import SEALED, TOKEN_ARRAYS, StoreConfig
from sagsae.activations.pieces import PieceReader
from sagsae.activations.seal import (
    Seal,
    SealedCommits,
    merged_statistics,
    seal_fault,
    total_dropped,
)
from sagsae.activations.verify import calibration_faults, metadata_faults, verify_store
from sagsae.files import canonical_json, digest
from sagsae.storage import Folder, Location, Storage, storage_at
from sagsae.storage.node_cache import node_cache

REQUESTS = 16
"""Chunks of a store of objects that are fetched at the same time."""


class Store:
    """A store opened for reading; make one with `Store.open`.

    Only committed blocks exist for a reader. Chunks are counted over them, in order, so that
    chunk i of every hookpoint holds the same rows.

    Rows that are read of a store of objects stay on this node's disk, see `sagsae.storage`.

    Attributes:
        storage: the folder, or the place in a bucket.
        config: what is in run.json.
        commits: by block; of a sealed store each is read and checked when it is asked for.
    """

    def __init__(
        self,
        storage: Storage,
        config: StoreConfig,
        commits: Mapping[int, Commit],
        seal: Seal | None = None,
    ) -> None:
        self.storage, self.config, self.commits, self._seal = storage, config, commits, seal
        self.blocks = sorted(commits)
        cache = node_cache() if storage.remote else None
        self._readers = {n: PieceReader(storage, config, n, cache) for n in config.arrays}

    @property
    def path(self) -> Path:
        """The folder.

        Raises:
            ValueError: the store is one of objects.
        """
        if not isinstance(self.storage, Folder):
            raise ValueError(f"{self.storage} is no folder; use Store.storage")
        return self.storage.path

    @classmethod
    def open(cls, where: Location, require_sealed: bool = True, *, rows: int | None = None) -> Self:
        """Open a store by its seal, with a handful of file operations however large it is.

        The seal, the configuration, the metadata of the arrays and the first commit are checked. A
        read checks the commit of its block and its chunk. A store without a seal is opened by
        its commits, all of which are read.

        Args:
            where: the folder, see `store_path`, or a URL such as s3://bucket/stores/name.
            require_sealed: False also accepts a dump that is not finished.
            rows: open the first rows alone, whole blocks, as if the store had no more; without it
                all that are sealed.

        Raises:
            ValueError: `rows` is no positive number of whole blocks.
            StoreError: there is no store.
            StoreFaultsError: everything found wrong, with the file and the remedy of each.
            StorageError: its place cannot be reached.
        """
        storage = storage_at(where)
        config = StoreConfig.read(storage)
        if rows is not None and (rows < 1 or rows % config.rows_per_block):
            raise ValueError(f"{rows} rows are no whole blocks of {config.rows_per_block} rows")
        store, faults = cls._by_seal(storage, config, rows)
        if store is None and not faults:
            commits, faults = read_commits(storage, config)
            if rows is not None:
                config = replace(config, n_blocks=rows // config.rows_per_block)
                commits = {b: commit for b, commit in commits.items() if b < config.n_blocks}
            store = cls(storage, config, commits)
            faults += calibration_faults(storage, commits)
            if require_sealed:
                problem = f"missing: the dump has {len(commits)} of {config.n_blocks} blocks"
                outcome = "it finishes and seals the store; require_sealed=False opens it as it is"
                faults.append(Fault(SEALED, problem, outcome))
        faults += metadata_faults(storage, config)
        if store is None or faults:
            raise StoreFaultsError(storage, faults)
        return store

    @classmethod
    def _by_seal(
        cls, storage: Storage, config: StoreConfig, rows: int | None
    ) -> tuple[Self | None, list[Fault]]:
        """The store there if it is sealed, and what is wrong with seal or calibration."""
        try:
            seal = Seal.read(storage, config)
            blocks = (rows or seal.n_rows) // config.rows_per_block
            config = replace(config, n_blocks=blocks)
            commits = SealedCommits(storage, config, seal.commits_sha256[:blocks])
            faults = list(calibration_faults(storage, {0: commits[0]}))
        except FileNotFoundError:
            return None, []
        except ValueError as error:
            return None, [seal_fault(error)]
        except StoreFaultsError as error:
            return None, error.faults
        if len(commits) < blocks:
            problem = f"{seal.n_rows} rows are sealed, {rows} were asked for"
            return None, [Fault(SEALED, problem, "it adds what is missing")]
        whole = seal if rows in (None, seal.n_rows) else None
        return cls(storage, config, commits, whole), faults

    @property
    def n_rows(self) -> int:
        """Committed rows."""
        return len(self.blocks) * self.config.rows_per_block

    def width(self, hookpoint: str) -> int:
        """Width d of a hookpoint."""
        self._check_hookpoint(hookpoint)
        return self.config.hookpoints[hookpoint]

    def n_chunks(self, hookpoint: str) -> int:
        """Committed chunks of a hookpoint, R rows each."""
        self._check_hookpoint(hookpoint)
        return len(self.blocks) * self.config.chunks_per_block

    def block_of_chunk(self, chunk: int) -> int:
        """The block that a chunk belongs to."""
        return self.blocks[chunk // self.config.chunks_per_block]

    def statistics(self, hookpoint: str) -> Statistics:
        """Mean, scale and norms over all committed rows, float64."""
        self._check_hookpoint(hookpoint)
        if self._seal is not None:
            return self._seal.statistics[hookpoint]
        return merged_statistics(self.commits, hookpoint)

    def digest(self) -> str:
        """sha256 that names the rows: equal digests, equal rows in an equal order."""
        if isinstance(self.commits, SealedCommits):
            commits = list(self.commits.expected)
        else:
            commits = [self.commits[block].file_digest() for block in self.blocks]
        return digest(canonical_json([self.config.digest(), commits]))

    @cached_property
    def dropped(self) -> dict[str, int]:
        """Tokens kept out by each rule, over all committed blocks."""
        return total_dropped(self.commits) if self._seal is None else dict(self._seal.dropped)

    def read_chunk(self, hookpoint: str, chunk: int, out: np.ndarray | None = None) -> np.ndarray:
        """One chunk, [R, d], as stored: bfloat16 bits in uint16, or float32.

        Args:
            hookpoint: its name.
            chunk: from 0 to `n_chunks` - 1.
            out: [R, d] of the stored dtype to read into; a new array without it.

        Raises:
            ChunkReadError: the chunk is missing, torn or altered.
            StoreFaultsError: the commit of its block is.
        """
        if not 0 <= chunk < (count := self.n_chunks(hookpoint)):
            raise IndexError(f"chunk {chunk} of {hookpoint!r}: there are {count}")
        shape, dtype = (
            (self.config.rows_per_chunk, self.width(hookpoint)),
            self.config.storage_dtype,
        )
        if out is not None and (out.shape, out.dtype) != (shape, dtype):
            raise ValueError(f"out is {out.dtype} {out.shape}, a chunk is {dtype} {shape}")
        inside = chunk % self.config.chunks_per_block
        return self._read(hookpoint, self.block_of_chunk(chunk), inside, out)

    def read_chunks(self, hookpoint: str, chunks: Sequence[int], out: np.ndarray) -> None:
        """Several chunks, one after the other in memory; of objects several are fetched at once.

        Args:
            hookpoint: its name.
            chunks: which.
            out: [len(chunks) * R, d] of the stored dtype.

        Raises:
            ChunkReadError: a chunk is missing, torn or altered.
            StoreFaultsError: the commit of its block is.
        """
        size = self.config.rows_per_chunk
        places = [out[i * size : (i + 1) * size] for i in range(len(chunks))]
        if not self.storage.remote:
            for chunk, place in zip(chunks, places, strict=True):
                self.read_chunk(hookpoint, chunk, out=place)
            return
        with ThreadPoolExecutor(REQUESTS, thread_name_prefix="chunks") as threads:
            read = partial(self.read_chunk, hookpoint)
            list(threads.map(read, chunks, places))

    def read_rows_as_tensor(self, hookpoint: str, chunk: int) -> Tensor:
        """One chunk, [R, d], as a bfloat16 (or float32) tensor."""
        return as_tensor(self.read_chunk(hookpoint, chunk))

    def read_tokens(self, block: int) -> dict[str, np.ndarray]:
        """`token_id`, `doc_id` and `position` of a committed block's rows, each [S] int32."""
        if block not in self.commits:
            raise IndexError(f"block {block} of {self.storage} is not committed")
        return {name: self._read(name, block, 0) for name in TOKEN_ARRAYS}

    def _read(
        self, array: str, block: int, piece: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """A piece of a block, in `out` if it is given."""
        reader, commit = self._readers[array], self.commits[block]
        expected = commit.crc32c[array][piece]
        size = commit.files[array][reader.file_name(block, piece)]
        try:
            return reader.read(block, piece, expected, size, out)
        except ValueError as error:
            rows = reader.rows(block, piece)
            raise ChunkReadError(
                f"{self.storage}: {array!r} rows {rows.start} to {rows.stop - 1} "
                f"({reader.file(block, piece)}) {error}; Store.verify() "
                "lists the damage and its remedy"
            ) from error

    def dask(self, hookpoint: str) -> Any:
        """All committed rows as a lazy `dask.array.Array`, [n_rows, d] float32.

        One task reads one chunk of R rows, checks it against its commit and converts it: exactly,
        since every bfloat16 value is a float32 value. It runs on threads, or on the active client
        of `dask.distributed`, whose workers must see the store under the same path.

        Raises:
            ChunkReadError: (when computed) a chunk is missing, torn or altered.
        """
        import dask.array as da

        rows = (self.config.rows_per_chunk,) * self.n_chunks(hookpoint)
        return da.map_blocks(
            _float32_chunk,
            store=delayed(self, pure=True),  # sent once per worker, not with every task
            hookpoint=hookpoint,
            chunks=(rows, self.width(hookpoint)),
            meta=np.empty((0, 0), np.float32),
        )

    def __dask_tokenize__(self) -> tuple[str, str, list[int]]:
        name = str(self.path.absolute()) if not self.storage.remote else str(self.storage)
        return name, self.config.digest(), self.blocks

    def __reduce__(self) -> Any:
        """Without what is open: another process opens its own."""
        return type(self), (self.storage, self.config, self.commits, self._seal)

    def verify(self) -> list[Fault]:
        """Check everything, reading every committed chunk once; an empty list means sound.

        One task reads one block, on threads or on the active client of `dask.distributed`.
        """
        return verify_store(self.storage).faults

    def _check_hookpoint(self, hookpoint: str) -> None:
        if hookpoint not in self.config.hookpoints:
            raise KeyError(
                f"no hookpoint {hookpoint!r} in {self.storage}; it has "
                f"{', '.join(self.config.hookpoints)}"
            )


def _float32_chunk(
    store: Store, hookpoint: str, block_id: tuple[int, int] | None = None
) -> np.ndarray:
    """The chunk that dask asks for; without `block_id` dask only asks for the dtype."""
    assert block_id is not None
    return as_float32(store.read_chunk(hookpoint, block_id[0]))
