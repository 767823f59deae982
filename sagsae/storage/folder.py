"""A folder of a file system: contents are files that are flushed, then named."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from fcntl import LOCK_EX
from pathlib import Path
from typing import Any

from sagsae.files import (
    FileLock,
    LockedError,
    create_atomic,
    fsync_path,
    remove_temporaries,
    try_flock,
    whole_file,
)
from sagsae.storage.base import SizeError, Storage


class Folder(Storage):
    """The files below a folder.

    Attributes:
        path: of the folder; it need not exist before something is written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __reduce__(self) -> tuple[type[Folder], tuple[Path]]:
        return Folder, (self.path.absolute(),)  # another process may work elsewhere

    @property
    def name(self) -> str:
        return self.path.absolute().name

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> Folder:
        return Folder(self.path / name)

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def fetch(self, name: str, size: int, *buffers: memoryview) -> None:
        with (self.path / name).open("rb") as stream:
            found = os.fstat(stream.fileno()).st_size
            if found != size:
                raise SizeError(found, size)
            for buffer in buffers:
                stream.readinto(buffer)

    def size(self, name: str) -> int:
        return (self.path / name).stat().st_size

    def names(self, folder: str = "") -> list[str]:
        try:
            with os.scandir(self.path / folder) as found:
                return [entry.name for entry in found if entry.is_file()]
        except FileNotFoundError:
            return []

    def folders(self) -> list[str]:
        try:
            with os.scandir(self.path) as found:
                return sorted(entry.name for entry in found if entry.is_dir())
        except FileNotFoundError:
            return []

    def write(self, name: str, *parts: bytes | memoryview, flush: bool = True) -> None:
        with whole_file(self.path / name, flush) as partial, partial.open("wb") as stream:
            for part in parts:
                stream.write(part)

    def create(self, name: str, content: bytes) -> bool:
        path = self.path / name
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            fsync_path(path.parent.parent)
        return create_atomic(path, content) or path.read_bytes() == content

    def swap(self, name: str, old: bytes, new: bytes) -> bool:
        path = self.path / name
        while path.exists():
            descriptor = os.open(path, os.O_RDWR)
            try:  # who waits for the lock of a file that was replaced has to look at the new one
                while not try_flock(descriptor, LOCK_EX, path):
                    time.sleep(0.01)
                if not os.path.samestat(os.fstat(descriptor), path.stat()):
                    continue
                if (found := path.read_bytes()) == old:
                    self.write(name, new)
                    return True
                return found == new
            finally:
                os.close(descriptor)
        return False

    def delete(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def clear(self) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path)

    def total_size(self) -> int:
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def settle(self, names: Iterable[str]) -> None:
        for name in names:
            fsync_path(self.path / name)

    def check_writable(self) -> None:
        """Links of a file system hold; where it has none, `create_atomic` takes a lock."""

    def lock(self, name: str, error: type[LockedError]) -> FileLock:
        self.path.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / name, error)

    def claim(self, name: str) -> _FileClaim | None:
        path = self.path / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if try_flock(descriptor, LOCK_EX, path):
            return _FileClaim(path, descriptor)
        os.close(descriptor)
        return None

    def tidy(self) -> None:
        remove_temporaries(self.path)

    def zarr_store(self, folder: str, *, read_only: bool) -> Any:
        from zarr.storage import LocalStore

        return LocalStore(self.path / folder, read_only=read_only)


class _FileClaim:
    """A locked file (flock), which the kernel gives free when the process is gone.

    The file is removed once the work is done. Who opened it just before then holds a lock that no
    file names; it has to see that the work is done.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def is_lost(self) -> bool:
        return False

    def release(self, *, done: bool) -> None:
        if done:
            with suppress(OSError):
                self._path.unlink()
        os.close(self._descriptor)
