"""What every place of a store can do: a folder and the objects of a bucket alike.

A place has contents by name, each whole or not there at all. Names are relative; their parts stand
between slashes. Nothing here knows what a store is.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Protocol, Self

from sagsae.files import LockedError


class StorageError(RuntimeError):
    """A place cannot be reached or used as asked; the message says why and what to do.

    It is never about the content: what is missing is a FileNotFoundError, what has another size a
    SizeError.
    """


class SizeError(ValueError):
    """A content has another number of bytes than it should have."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"its file has {found} bytes and its commit says {expected}")
        self.found = found


class Claim(Protocol):
    """Something that this process alone works on, until it is released or the process is gone."""

    def is_lost(self) -> bool:
        """Whether another process took it over, because this one gave no sign of life."""

    def release(self, *, done: bool) -> None:
        """Give it up.

        Args:
            done: Nobody has to do it again, so that its mark can be removed.
        """


class Lock(Protocol):
    """A lock of a whole place, see `sagsae.files.FileLock`."""

    def acquire(
        self,
        *,
        shared: bool = False,
        patience: float = 0.0,
        waiting: Callable[[str], None] | None = None,
    ) -> bool:
        """Take it, or change the kind held."""

    def release(self) -> None:
        """Give it back."""


class Storage(ABC):
    """A place. `str` of it is its path or its URL, as messages have it.

    Every method raises StorageError where the place cannot be reached.
    """

    remote: bool = False
    """Whether every call is a request over a network: then several go at the same time, and what
    is read again is kept on this node's disk."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of its path."""

    @abstractmethod
    def __str__(self) -> str:
        """Its path or its URL."""

    @abstractmethod
    def __truediv__(self, name: str) -> Self:
        """The place below this one that a name leads to."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A content.

        Raises:
            FileNotFoundError: there is none.
        """

    @abstractmethod
    def fetch(self, name: str, size: int, *buffers: memoryview) -> None:
        """Read a content of known size into memory, one buffer after the other.

        Raises:
            FileNotFoundError: there is none.
            SizeError: it has not `size` bytes; the buffers hold anything.
        """

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes of a content.

        Raises:
            FileNotFoundError: there is none.
        """

    def exists(self, name: str) -> bool:
        """Whether there is such a content."""
        try:
            self.size(name)
        except FileNotFoundError:
            return False
        return True

    @abstractmethod
    def names(self, folder: str = "") -> list[str]:
        """Last parts of the names of the contents directly in a folder, in no order."""

    @abstractmethod
    def folders(self) -> list[str]:
        """Names of the folders directly here, in order."""

    @abstractmethod
    def write(self, name: str, *parts: bytes | memoryview, flush: bool = True) -> None:
        """Put a content there, all of it or nothing, over another if there is one.

        Args:
            name: of the content.
            parts: of it, one after the other.
            flush: False leaves it to `settle` to make it last.
        """

    @abstractmethod
    def create(self, name: str, content: bytes) -> bool:
        """The conditional put: write a content unless another is there; the first writer wins.

        Returns:
            Whether `name` holds `content` now: written by this call, or equal to what was there.
        """

    @abstractmethod
    def swap(self, name: str, old: bytes, new: bytes) -> bool:
        """The conditional put over another content: write `new` if `name` still holds `old`.

        Returns:
            Whether `name` holds `new` now.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove a content; harmless where there is none."""

    @abstractmethod
    def clear(self) -> None:
        """Remove everything below this place; harmless where there is nothing."""

    @abstractmethod
    def total_size(self) -> int:
        """Bytes of everything below this place."""

    @abstractmethod
    def settle(self, names: Iterable[str]) -> None:
        """Make what was written without a flush last. Folders are names too: of what is in them."""

    @abstractmethod
    def check_writable(self) -> None:
        """Make sure that conditional puts hold here, before anything is written.

        Raises:
            StorageError: the place accepts two writers where one must win.
        """

    @abstractmethod
    def lock(self, name: str, error: type[LockedError]) -> Lock:
        """A lock that keeps other writers out, where a place has such locks.

        Args:
            name: of its file.
            error: what it raises while others hold it.
        """

    @abstractmethod
    def claim(self, name: str) -> Claim | None:
        """Mark something as this process's; None while another process has it."""

    @abstractmethod
    def tidy(self) -> None:
        """Remove what killed writers left half written; nobody else writes meanwhile."""

    @abstractmethod
    def zarr_store(self, folder: str, *, read_only: bool) -> Any:
        """Zarr's own store of what lies in a folder."""

    def failure(self, error: BaseException) -> StorageError | None:
        """What an error that came through `zarr_store` says of the place; None if nothing."""
        return None


Location = str | os.PathLike[str] | Storage
"""How a place is named: a path, a URL such as s3://bucket/prefix, or itself."""
