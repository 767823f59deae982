"""Which blocks of a store one writer makes: those that it has claimed and nobody else."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sagsae.activations.commits import committed_blocks
from sagsae.activations.errors import StoreError
from sagsae.activations.layout import CLAIM, CLAIMS, commit_name
from sagsae.storage import Claim, Storage

_LOOK_SECONDS = 1.0
"""Pause between two looks at blocks that others are making."""


class BlockClaims:
    """The blocks that a writer has claimed and not committed yet.

    Args:
        storage: of the store.
        n_blocks: that there are to be.
        alone: whether nobody else writes, so that no marks are needed.
    """

    def __init__(self, storage: Storage, n_blocks: int, *, alone: bool) -> None:
        self._storage, self._n_blocks, self._alone = storage, n_blocks, alone
        self._held: dict[int, Claim | None] = {}

    def pending(self) -> list[int]:
        """Blocks without a commit, in order."""
        done = set(committed_blocks(self._storage))
        return [block for block in range(self._n_blocks) if block not in done]

    def each(self, *, wait: bool) -> Iterator[int]:
        """Claim one block after the other, see `StoreWriter.claimed_blocks`."""
        while left := [block for block in self.pending() if block not in self._held]:
            taken = 0
            for block in left:
                if self.take(block):
                    taken += 1
                    yield block
            if not wait:
                return
            if not taken:
                time.sleep(_LOOK_SECONDS)

    def take(self, block: int) -> bool:
        """Claim a block; False if another writer makes it or has made it."""
        claim = None if self._alone else self._storage.claim(CLAIM.format(block))
        if claim is None and not self._alone:
            return False
        self._held[block] = claim
        if self._storage.exists(commit_name(block)):  # since the last look
            self.give_up(block, done=True)
            return False
        return True

    def is_mine(self, block: int) -> bool:
        """Whether this writer may write a block."""
        here = 0 <= block < self._n_blocks
        return here and (self._alone or block in self._held)

    def check(self, block: int) -> None:
        """Make sure that a block was not taken over by another writer.

        Raises:
            StoreError: it was.
        """
        claim = self._held.get(block)
        if claim is not None and claim.is_lost():
            raise StoreError(
                f"{self._storage}: block {block} was taken over by another process, as this one "
                "gave no sign of life; run the same command again"
            )

    def give_up(self, block: int, *, done: bool) -> None:
        """Let others have a block, or with `done` forget it."""
        if claim := self._held.pop(block, None):
            claim.release(done=done)

    def give_up_all(self) -> None:
        """Let others have what is not committed."""
        for block in list(self._held):
            self.give_up(block, done=False)

    def tidy(self) -> None:
        """Remove the marks of killed writers; nobody else writes, or every block is committed."""
        for name in self._storage.names():
            if name.startswith(CLAIMS):
                self._storage.delete(name)
