"""Writes an activation store block by block, so that a kill at any instant loses one block.

The chunks of a block are there to stay before its commit file exists. Blocks without a commit are
written again, and writing a block twice gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import numpy as np
import zarr
from torch import Tensor
from zarr.storage import MemoryStore

from sagsae.activations.arrays import (
    channel_sizes,
    checksum,
    is_plain,
    open_array,
    quantised,
    restored,
    stored_rows,
    write_metadata,
)
from sagsae.activations.commits import (
    STATISTICS_ROWS,
    Commit,
    RunningMoments,
    calibration_digest,
    read_commits,
    read_seal,
    write_seal,
)
from sagsae.activations.layout import (
    COMMITS,
    DATA,
    LOCK,
    RUN,
    TOKEN_ARRAYS,
    StoreConfig,
    StoreError,
    StoreLockedError,
    channel_of,
    commit_name,
    committed_blocks,
    scale_of,
)
from sagsae.activations.storage import Folder, Location, storage_at
from sagsae.activations.store import Store, faults_of
from sagsae.files import FileLock, differences, signed_json


class StoreWriter:
    """Context manager that writes the blocks of a store.

    A writer of a folder holds its lock. A bucket has none: let one job at a time fill a store.

    Args:
        where: the store's folder or URL, see `store_path`.
        config: of the store; a place with another configuration is refused.
    """

    def __init__(self, where: Location, config: StoreConfig) -> None:
        self.storage, self.config = storage_at(where), config
        self._lock: FileLock | None = None
        self._arrays: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Lock and prepare the folder.

        Raises:
            StoreLockedError: another process writes to this store.
            StoreError: the folder belongs to another configuration.
            StorageError: the place cannot be reached.
        """
        if isinstance(self.storage, Folder):
            self.storage.path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.storage.path / LOCK, StoreLockedError)
            self._lock.acquire()
        try:
            self._prepare()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._arrays = {}
        if self._lock is not None:
            self._lock.release()

    def _prepare(self) -> None:
        """Bring the place into a known state."""
        storage, config = self.storage, self.config
        if isinstance(storage, Folder):
            for leftover in storage.path.rglob("*.partial"):  # of a killed writer, or of Zarr
                leftover.unlink(missing_ok=True)
        new = not storage.exists(RUN)
        there = config if new else StoreConfig.read(storage)
        if differ := differences(there.to_json(), config.to_json()):
            raise StoreError(
                f"{storage} was made with another configuration (there -> asked for): {differ}. "
                "Use store_path, which gives each configuration its own folder"
            )
        if isinstance(storage, Folder):
            (storage.path / COMMITS).mkdir(exist_ok=True)
        write_metadata(storage, config)
        if new:  # last: with it there is a store, and readers look for its arrays
            storage.write(RUN, signed_json(config.to_json()))
            storage.settle([".."])
        for name in config.arrays:
            self._arrays[name] = open_array(storage, config, name, writable=True)
        # Zarr's thread starts here, see store.py.
        zarr.create_group(MemoryStore())

    def pending_blocks(self) -> list[int]:
        """Blocks without a commit, in order."""
        done = set(committed_blocks(self.storage))
        return [block for block in range(self.config.n_blocks) if block not in done]

    def write_block(
        self,
        block: int,
        activations: Mapping[str, Tensor],
        token_id: np.ndarray,
        doc_id: np.ndarray,
        position: np.ndarray,
        cursor: Mapping[str, Any],
        dropped: Mapping[str, int],
        places: np.ndarray | None = None,
    ) -> None:
        """Permute, write, flush and commit one block.

        Safe in a thread beside a forward pass, and in several threads for different blocks. Beside
        its arguments it needs memory for a few chunks, or of a sharded or converted hookpoint for a
        block.

        Args:
            block: index, one of `pending_blocks`.
            activations: a float tensor [n, d] for every hookpoint; stored in the store's dtype.
            token_id: [S] integers, the token of each row.
            doc_id: [S] integers, its document.
            position: [S] integers, its place in the context.
            cursor: JSON values that say where in the source the block came from.
            dropped: how many tokens each rule kept out of the block.
            places: [S] integers, the row of `activations` that each row of the block is. Without
                them n is S and all rows are stored.

        Raises:
            StoreError: a row holds NaN or an infinity; nothing is committed.
            ValueError: wrong names or shapes, or a block that is committed already.
        """
        tokens = dict(zip(TOKEN_ARRAYS, (token_id, doc_id, position), strict=True))
        self._check_block(block, activations, tokens, places)
        size = self.config.rows_per_block
        order = np.random.default_rng([self.config.seed, block]).permutation(size)
        source = order if places is None else places[order]
        documents = np.asarray(doc_id)[order]
        files, checksums, moments = {}, {}, {}
        for name, x in activations.items():
            sums = RunningMoments(x.shape[1])
            rows, scales = stored_rows(x, self.config.dtype), list[np.ndarray]()
            channel = channel_sizes(rows, source) if self.config.int8 else None
            parts = self._ordered(name, rows, source, documents, sums, channel, scales)
            files[name], checksums[name] = self._write(name, block, parts)
            if channel is not None:
                for array, beside in ((scale_of(name), scales), (channel_of(name), [channel])):
                    files[array], checksums[array] = self._write(array, block, beside)
            moments[name] = sums.total()
        for name, values in tokens.items():
            rows = np.asarray(values)[order].astype(np.int32)
            files[name], checksums[name] = self._write(name, block, [rows])
        commit = Commit(
            block=block,
            run_sha256=self.config.digest(),
            calibration_sha256=calibration_digest(self.storage),
            files=files,
            crc32c=checksums,
            moments=moments,
            cursor=dict(cursor),
            dropped=dict(dropped),
        )
        self.storage.write(commit_name(block), commit.to_bytes())

    def _check_block(
        self,
        block: int,
        activations: Mapping[str, Tensor],
        tokens: Mapping[str, np.ndarray],
        places: np.ndarray | None,
    ) -> None:
        if not self._arrays:
            raise ValueError("the writer is not open; use it in a with statement")
        if not 0 <= block < self.config.n_blocks or self.storage.exists(commit_name(block)):
            raise ValueError(
                f"block {block} of {self.storage} is committed already or none of "
                f"{self.config.n_blocks}; write only pending_blocks()"
            )
        size, given = self.config.rows_per_block, dict[str, Any]({**activations, **tokens})
        rows = size if places is None else len(next(iter(activations.values()), ()))
        wanted: dict[str, tuple[int, ...]]
        wanted = {name: (rows, d) for name, d in self.config.hookpoints.items()}
        wanted |= dict.fromkeys(TOKEN_ARRAYS, (size,))
        if places is not None:
            given["places"], wanted["places"] = places, (size,)
        if wanted != (found := {name: tuple(x.shape) for name, x in given.items()}):
            raise ValueError(f"block {block} has shapes {found}, the store needs {wanted}")

    def _ordered(
        self,
        name: str,
        rows: np.ndarray,
        source: np.ndarray,
        documents: np.ndarray,
        sums: RunningMoments,
        channel: np.ndarray | None,
        scales: list[np.ndarray],
    ) -> Iterator[np.ndarray]:
        """The rows of a block in their order, some chunks at a time, which `sums` adds up as they
        will be read; of int8 rows, in units of `channel`, their scales go to `scales`.

        The parts are small enough to stay in a processor's cache until they are written. What Zarr
        writes in several requests, or as a whole shard, is one part.
        """
        config, size = self.config, len(source)
        whole = config.sharded or self.storage.remote
        step = size if whole else min(size, math.lcm(config.rows_per_chunk, STATISTICS_ROWS))
        for start in range(0, size, step):
            part = read = rows[source[start : start + step]]
            if channel is not None:
                part, scale = quantised(read, channel)
                scales.append(scale)
                read = restored(part, scale, channel, read)
            finite = np.isfinite(sums.add(read))
            if not finite.all():
                raise StoreError(
                    f"hookpoint {name!r} gives NaN or infinity, for one in document "
                    f"{documents[start + int(finite.argmin())]}; run the model in bfloat16 or "
                    "float32 instead of float16, or leave that document out"
                )
            yield part

    def _write(
        self, name: str, block: int, parts: Iterable[np.ndarray]
    ) -> tuple[dict[str, int], list[str]]:
        """Write and flush one block of an array; its files' sizes and its pieces' checksums."""
        storage, config = self.storage, self.config
        paths = [f"{DATA}/{name}/{file}" for file in config.block_files(name, block)]
        piece, plain = config.piece_rows(name), is_plain(storage, config, name)
        if not plain:
            for path in paths:  # Zarr would first read what is left of a damaged shard, and fail
                storage.delete(path)
        checksums: list[str] = []
        per_file = config.block_rows(name) // len(paths)
        first, done = block * config.block_rows(name), 0
        for rows in parts:
            sums = [checksum(rows[i : i + piece]) for i in range(0, len(rows), piece)]
            if plain:  # a piece is a file
                for i, crc in enumerate(sums):
                    content = rows[i * piece : (i + 1) * piece].data.cast("B")
                    trailer = bytes.fromhex(crc)[::-1]
                    path = paths[done // per_file + i]
                    storage.write(path, content, trailer, flush=False)
            else:
                self._arrays[name][first + done : first + done + len(rows)] = rows
            checksums, done = checksums + sums, done + len(rows)
        storage.settle([*paths, f"{DATA}/{name}"])
        return {path.rpartition("/")[2]: storage.size(path) for path in paths}, checksums

    def seal(self) -> None:
        """Verify every chunk that is not sealed yet, then write SEALED.json.

        Raises:
            StoreError: blocks are missing, or a file does not hold what was committed.
        """
        if missing := self.pending_blocks():
            raise StoreError(
                f"{self.storage} lacks {len(missing)} of {self.config.n_blocks} blocks (first: "
                f"{missing[0]}); run the dump again before sealing"
            )
        sealed = len(read_seal(self.storage, self.config))
        if sealed >= self.config.n_blocks:
            return
        blocks = range(self.config.n_blocks)
        store = Store(self.storage, self.config, read_commits(self.storage, self.config, blocks))
        if faults := faults_of(store, blocks[sealed:]):
            raise StoreError("\n".join(faults))
        write_seal(self.storage, self.config, store.commits)
