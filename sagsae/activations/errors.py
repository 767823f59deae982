"""Errors of the activation package: what was wrong, in which file, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sagsae.files import LockedError


class StoreError(RuntimeError):
    """An activation store cannot be used or written as asked."""


class ConfigMismatchError(StoreError):
    """The folder holds a store of another configuration; the message names the keys that differ."""


class StoreLockedError(StoreError, LockedError):
    """Another process is writing to the store."""


class NonFiniteActivationError(StoreError):
    """A model produced NaN or an infinity; the message names the hookpoint and the document."""


class ChunkReadError(StoreError):
    """A chunk is missing, torn or altered; the message names store, hookpoint and chunk."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one file of a store. Paths are relative to the store.

    Attributes:
        file: what is wrong.
        problem: how.
        outcome: what the dump does about it when it runs again, once `delete` is gone.
        delete: files to delete before, "." for the whole store.
    """

    file: str
    problem: str
    outcome: str
    delete: tuple[str, ...] = ()

    @property
    def remedy(self) -> str:
        """What to do, as a sentence."""
        names = " and ".join("the whole store" if name == "." else name for name in self.delete)
        first = f"Delete {names}, then run" if self.delete else "Run"
        return f"{first} the dump again: {self.outcome}"

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}. {self.remedy}"


class StoreFaultsError(StoreError):
    """Everything found wrong with a store, in one message. `faults` holds the list."""

    def __init__(self, store: object, faults: Sequence[Fault]) -> None:
        self.faults = list(faults)
        shown = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"activation store {store} has {len(self.faults)} fault(s):\n{shown}")
