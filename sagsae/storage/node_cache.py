"""Rows of stores of objects, kept on this node's disk: bounded, and checked whenever they are read.

Every process of a user on one node shares the folder. A piece of rows lies in a file as it is in
memory, with its crc32c in the name, whatever the store compresses or shards. A file of another
content is removed and its piece fetched again. The pieces that were not used for longest go first.

`SAGSAE_NODE_CACHE` names the folder, by default one of this user in the system's temporary folder;
`SAGSAE_NODE_CACHE_GB` bounds its size, 0 switches it off. It is never larger than half of what the
disk has left.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import google_crc32c
import numpy as np

from sagsae.folders import private_folder

FOLDER, SIZE = "SAGSAE_NODE_CACHE", "SAGSAE_NODE_CACHE_GB"
DEFAULT_GB = 64.0
_SHARES = 64
"""A process looks at the size of the whole after it has written this share of the bound."""
_STRIPES = 256
_OLD_SECONDS = 3600.0
"""Age of a half-written file that nobody writes any more."""


class NodeCache:
    """A bounded folder of pieces.

    Args:
        folder: where they are; it must be this user's.
        limit: bytes of all pieces. Several processes together may pass it by a few per cent.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._written = limit  # the first write looks at the size

    def read(self, key: str, out: memoryview, crc32c: str) -> bool:
        """Fill `out` with a piece if it is here and sound."""
        path = self._path(key, crc32c)
        try:
            with path.open("rb") as stream:
                whole = stream.readinto(out) == len(out) and not stream.read(1)
            if whole and _crc32c(out) == crc32c:
                os.utime(path)
                return True
            path.unlink(missing_ok=True)
        except OSError:
            pass
        return False

    def keep(self, key: str, rows: memoryview, crc32c: str) -> None:
        """Keep a piece if there is room for it; a full disk is no error."""
        if len(rows) > self.limit // 2:
            return
        path = self._path(key, crc32c)
        partial = path.with_name(f".{uuid.uuid4().hex}.partial")
        try:
            self._written += len(rows)
            if self._written >= self.limit // _SHARES:
                self._trim()
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as stream:
                stream.write(rows)
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Let one process of this node fetch a piece; the others wait and find it."""
        descriptor = None
        with suppress(OSError):  # no locks there: all fetch
            stripe = zlib.crc32(key.encode()) % _STRIPES
            descriptor = os.open(self.folder / f".lock-{stripe}", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _path(self, key: str, crc32c: str) -> Path:
        return self.folder / f"{key}-{crc32c}"

    def _trim(self) -> None:
        """Remove what was used least recently until the rest is well below the bound."""
        self._written = 0
        found: list[tuple[float, int, Path]] = []
        for path in self.folder.rglob("*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                if not path.is_file() or path.name.startswith(".lock"):
                    continue
                if path.suffix == ".partial" and time.time() - status.st_mtime > _OLD_SECONDS:
                    path.unlink()
                    continue
                found.append((status.st_mtime, status.st_size, path))
        size = sum(each for _, each, _ in found)
        room = size + shutil.disk_usage(self.folder).free // 2
        bound = min(self.limit, room)
        bound -= bound // 8
        for _, each, path in sorted(found):
            if size <= bound:
                break
            path.unlink(missing_ok=True)
            size -= each


def _crc32c(content: memoryview) -> str:
    return f"{google_crc32c.value(np.frombuffer(content, np.uint8)):08x}"


def node_cache() -> NodeCache | None:
    """The cache that the environment asks for; None if it is switched off or has no folder.

    Raises:
        ValueError: the size is no number.
    """
    named = os.environ.get(FOLDER)
    folder = Path(named) if named else Path(tempfile.gettempdir(), f"sagsae-rows-{os.getuid()}")
    text = os.environ.get(SIZE, str(DEFAULT_GB))
    try:
        limit = int(float(text) * 1e9)
    except (ValueError, OverflowError):
        raise ValueError(f"{SIZE} is {text!r}: give a number of gigabytes, 0 for none") from None
    if limit <= 0:
        return None
    return NodeCache(private_folder(folder), limit)
