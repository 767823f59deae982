"""Writes an activation store block by block, so that a kill at any instant loses one block.

The chunks of a block reach the disk before its commit file exists. Blocks without a commit are
written again, and writing a block twice gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from torch import Tensor

from sagsae.activations.arrays import (
    create_arrays,
    open_array,
    stored_rows,
)
from sagsae.activations.block_rows import ordered_parts, write_array
from sagsae.activations.commits import (
    Commit,
    RunningMoments,
    calibration_digest,
    committed_blocks,
)
from sagsae.activations.errors import (
    ConfigMismatchError,
    StoreError,
    StoreFaultsError,
    StoreLockedError,
)
from sagsae.activations.layout import (
    COMMITS,
    DATA,
    LOCK,
    RUN,
    TOKEN_ARRAYS,
    StoreConfig,
    commit_name,
)
from sagsae.activations.seal import Seal, sealed_rows
from sagsae.activations.verify import verify_store
from sagsae.files import FileLock, fsync_path, remove_temporaries, signed_json, write_atomic
from sagsae.memory import needs_memory

_PATIENCE = 30.0
"""Seconds a rank waits for another that is preparing the folder."""


class StoreWriter:
    """Context manager that holds a store's lock and writes its blocks.

    Rank r of `world` writers owns the blocks b with b mod world == r; ranks of one world write
    side by side, and any other writer is refused.

    Args:
        path: the store's folder, see `store_path`.
        config: of the store; a folder with another configuration is refused.
        rank: of this writer.
        world: how many writers there are.
    """

    def __init__(self, path: Path, config: StoreConfig, rank: int = 0, world: int = 1) -> None:
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} is not below world {world}")
        self.path, self.config, self.rank, self.world = Path(path), config, rank, world
        self._lock = FileLock(self.path / LOCK, StoreLockedError)
        self._rank_lock = FileLock(self.path / f"{LOCK}-{rank}-of-{world}", StoreLockedError)
        self._arrays: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Lock and prepare the folder.

        Raises:
            StoreLockedError: another process writes to this store.
            ConfigMismatchError: the folder belongs to another configuration.
        """
        (self.path / COMMITS).mkdir(parents=True, exist_ok=True)
        try:
            self._take_locks()
            for name in self.config.arrays:
                self._arrays[name] = open_array(self.path, self.config, name, writable=True)
            zarr.open_group(self.path / DATA, mode="r")  # starts Zarr's thread, see stream.py
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        self._arrays = {}
        self._rank_lock.release()
        self._lock.release()

    def _take_locks(self) -> None:
        try:
            self._lock.acquire()
        except StoreLockedError:
            if self.world == 1:
                raise
        else:
            self._prepare()
        if self.world > 1:
            self._lock.acquire(shared=True, patience=_PATIENCE)
            self._rank_lock.acquire()
            self._compare_config()

    def _prepare(self) -> None:
        """Bring the folder into a known state; nobody else writes meanwhile."""
        new = not (self.path / RUN).exists()
        if new:
            self.config.check_name(self.path)
        else:
            self._compare_config()
        remove_temporaries(self.path)
        room = max([self.config.n_blocks, *(block + 1 for block in committed_blocks(self.path))])
        create_arrays(self.path, replace(self.config, n_blocks=room))
        if new:  # last: with it there is a store, and readers look for its arrays
            write_atomic(self.path / RUN, signed_json(self.config.to_json()))
            fsync_path(self.path.parent)

    def _compare_config(self) -> None:
        found = StoreConfig.read(self.path)
        if differences := found.differences(self.config):
            raise ConfigMismatchError(
                f"{self.path} was made with another configuration (there -> asked for): "
                + "; ".join(differences)
                + ". Use store_path, which gives each configuration its own folder"
            )

    def pending_blocks(self) -> list[int]:
        """Blocks of this rank without a commit, in order."""
        done = set(committed_blocks(self.path))
        mine = range(self.rank, self.config.n_blocks, self.world)
        return [block for block in mine if block not in done]

    @needs_memory("a block of activations that is written")
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
            NonFiniteActivationError: a row holds NaN or an infinity; nothing is committed.
            ValueError: wrong names or shapes, or a block that is not this writer's.
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
            rows = stored_rows(x, self.config.dtype)
            parts = ordered_parts(self.config, name, rows, source, documents, sums)
            files[name], checksums[name] = self._write(name, block, parts)
            moments[name] = sums.total()
        for name, values in tokens.items():
            rows = np.asarray(values)[order].astype(np.int32)
            files[name], checksums[name] = self._write(name, block, [rows])
        Commit(
            block=block,
            run_sha256=self.config.digest(),
            calibration_sha256=calibration_digest(self.path),
            files=files,
            crc32c=checksums,
            moments=moments,
            cursor=dict(cursor),
            dropped=dict(dropped),
        ).write(self.path)

    def _check_block(
        self,
        block: int,
        activations: Mapping[str, Tensor],
        tokens: Mapping[str, np.ndarray],
        places: np.ndarray | None,
    ) -> None:
        if not self._arrays:
            raise ValueError("the writer is not open; use it in a with statement")
        mine = 0 <= block < self.config.n_blocks and block % self.world == self.rank
        if not mine or (self.path / commit_name(block)).exists():
            raise ValueError(
                f"block {block} of {self.path} is committed already or is not one of rank "
                f"{self.rank} of {self.world}; write only pending_blocks()"
            )
        size, widths = self.config.rows_per_block, self.config.hookpoints
        rows = size if places is None else len(next(iter(activations.values()), ()))
        wanted: dict[str, tuple[int, ...]] = {n: (rows, d) for n, d in widths.items()}
        wanted |= dict.fromkeys(TOKEN_ARRAYS, (size,))
        found: dict[str, tuple[int, ...]] = {n: tuple(x.shape) for n, x in activations.items()}
        found |= {name: np.shape(values) for name, values in tokens.items()}
        if places is not None:
            wanted, found = wanted | {"places": (size,)}, found | {"places": places.shape}
        if wanted != found:
            raise ValueError(f"block {block} has shapes {found}, the store needs {wanted}")

    def _write(
        self, name: str, block: int, parts: Iterable[np.ndarray]
    ) -> tuple[dict[str, int], list[str]]:
        return write_array(self.path, self.config, self._arrays[name], name, block, parts)

    def seal(self) -> None:
        """Verify every chunk against its commit, then write SEALED.json.

        Chunks of blocks that are sealed already are not read again.

        Raises:
            StoreLockedError: another rank is still writing.
            StoreError: blocks are missing.
            StoreFaultsError: a file does not hold what was committed.
        """
        try:
            self._lock.acquire()
        except StoreLockedError:
            if self.world > 1:  # a refused request has given up the shared lock
                self._lock.acquire(shared=True, patience=_PATIENCE)
            raise
        missing = sorted(set(range(self.config.n_blocks)) - set(committed_blocks(self.path)))
        if missing:
            raise StoreError(
                f"{self.path} lacks {len(missing)} of {self.config.n_blocks} blocks (first: "
                f"{missing[0]}); run the dump again before sealing"
            )
        remove_temporaries(self.path)
        sealed = sealed_rows(self.path) // self.config.rows_per_block
        found = verify_store(self.path, trusted=sealed)
        if found.faults:
            raise StoreFaultsError(self.path, found.faults)
        whole: dict[int, Commit] = {}  # a dump of more blocks may have left some behind a gap
        while (block := len(whole)) in found.commits:
            whole[block] = found.commits[block]
        Seal.of(self.path, self.config, whole).write(self.path)
