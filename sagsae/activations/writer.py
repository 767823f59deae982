"""Writes an activation store block by block, so that a kill at any instant loses one block.

The chunks of a block are there to stay before its commit file exists. Blocks without a commit are
written again, and writing a block twice gives the same bytes.

Several writers share a store block by block: each claims a block that nobody else makes, until it
is committed. So any number of them, begun and killed in any order, make the same store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import zarr
from torch import Tensor

from sagsae.activations.arrays import (
    create_arrays,
    open_array,
    stored_rows,
)
from sagsae.activations.block_claims import BlockClaims
from sagsae.activations.block_rows import ordered_parts, write_array
from sagsae.activations.blocks import Report
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
    DATA,
    LOCK,
    RUN,
    TOKEN_ARRAYS,
    StoreConfig,
    commit_name,
)
from sagsae.activations.seal import Seal, sealed_rows
from sagsae.activations.verify import verify_store
from sagsae.files import signed_json
from sagsae.memory import needs_memory
from sagsae.storage import Location, storage_at

_PATIENCE = 30.0
"""Seconds a writer waits for another that is preparing the folder."""


class StoreWriter:
    """Context manager that writes the blocks of a store.

    In a folder a writer is alone and holds its lock, unless it is one of several that were opened
    with `alone=False`. Among objects there is no such lock, and every writer is one of several.

    Args:
        where: the store's folder or URL, see `store_path`.
        config: of the store; a place with another configuration is refused.
        alone: whether to keep all others out of a folder.
    """

    def __init__(self, where: Location, config: StoreConfig, *, alone: bool = True) -> None:
        self.storage, self.config = storage_at(where), config
        self.alone = alone and not self.storage.remote
        self._lock = self.storage.lock(LOCK, StoreLockedError)
        self._claims = BlockClaims(self.storage, config.n_blocks, alone=self.alone)
        self._arrays: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Lock and prepare the folder.

        Raises:
            StoreLockedError: another process writes to this store, and is not one of several.
            ConfigMismatchError: the folder belongs to another configuration.
            StorageError: the place cannot be reached, or knows no conditional puts.
        """
        try:
            self._take_lock()
            self._prepare()
            for name in self.config.arrays:
                self._arrays[name] = open_array(self.storage, self.config, name, writable=True)
            # Zarr's thread starts here, see stream.py.
            zarr.open_group(self.storage.zarr_store(DATA, read_only=True), mode="r")
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        self._arrays = {}
        self._claims.give_up_all()
        self._lock.release()

    def _take_lock(self) -> None:
        try:
            self._lock.acquire()
        except StoreLockedError:
            if self.alone:
                raise
        else:
            self.storage.tidy()
            if not self.storage.remote:
                self._claims.tidy()
        if not self.alone:
            self._lock.acquire(shared=True, patience=_PATIENCE)

    def _prepare(self) -> None:
        """Bring the place into a known state. Others may do so at the same time."""
        new = not self.storage.exists(RUN)
        if new:
            self.config.check_name(self.storage)
        else:
            self._compare_config()
        self.storage.check_writable()
        blocks = committed_blocks(self.storage)
        room = max([self.config.n_blocks, *(block + 1 for block in blocks)])
        create_arrays(self.storage, replace(self.config, n_blocks=room))
        if new:  # last: with it there is a store, and readers look for its arrays
            if not self.storage.create(RUN, signed_json(self.config.to_json())):
                self._compare_config()
            self.storage.settle([".."])

    def _compare_config(self) -> None:
        found = StoreConfig.read(self.storage)
        if differences := found.differences(self.config):
            raise ConfigMismatchError(
                f"{self.storage} was made with another configuration (there -> asked for): "
                + "; ".join(differences)
                + ". Use store_path, which gives each configuration its own folder"
            )

    def pending_blocks(self) -> list[int]:
        """Blocks without a commit, in order."""
        return self._claims.pending()

    def claimed_blocks(self, *, wait: bool = True) -> Iterator[int]:
        """Blocks to write, one after the other, each this writer's until it is committed.

        Args:
            wait: for blocks that others make, until they have; a block whose writer is gone is
                made here. Without it, what others make is left to them.
        """
        return self._claims.each(wait=wait)

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
            block: index, one of `claimed_blocks`.
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
            StoreError: another writer has taken the block over, or committed other rows.
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
        self._claims.check(block)
        commit.write(self.storage)
        self._claims.give_up(block, done=True)

    def _check_block(
        self,
        block: int,
        activations: Mapping[str, Tensor],
        tokens: Mapping[str, np.ndarray],
        places: np.ndarray | None,
    ) -> None:
        if not self._arrays:
            raise ValueError("the writer is not open; use it in a with statement")
        if not self._claims.is_mine(block) or self.storage.exists(commit_name(block)):
            raise ValueError(
                f"block {block} of {self.storage} is committed already or not claimed; write only "
                "claimed_blocks()"
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
        return write_array(self.storage, self.config, self._arrays[name], name, block, parts)

    def seal(self, report: Report | None = None) -> None:
        """Verify every chunk against its commit, then write SEALED.json.

        Chunks of blocks that are sealed already are not read again.

        Args:
            report: called as blocks are verified.

        Raises:
            StoreLockedError: another process is still writing to the folder.
            StoreError: blocks are missing.
            StoreFaultsError: a file does not hold what was committed.
        """
        try:
            self._lock.acquire()
        except StoreLockedError:
            if not self.alone:  # a refused request has given up the shared lock
                self._lock.acquire(shared=True, patience=_PATIENCE)
            raise
        if missing := self.pending_blocks():
            raise StoreError(
                f"{self.storage} lacks {len(missing)} of {self.config.n_blocks} blocks (first: "
                f"{missing[0]}); run the dump again before sealing"
            )
        self.storage.tidy()
        self._claims.tidy()
        sealed = sealed_rows(self.storage) // self.config.rows_per_block
        found = verify_store(self.storage, report, trusted=sealed)
        if found.faults:
            raise StoreFaultsError(self.storage, found.faults)
        whole: dict[int, Commit] = {}  # a dump of more blocks may have left some behind a gap
        while (block := len(whole)) in found.commits:
            whole[block] = found.commits[block]
        Seal.of(self.config, whole).write(self.storage)
