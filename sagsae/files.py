"""Durable files: whole or not there, fsync, self-checking JSON and an advisory lock.

Everything written here is a pure function of its content: no time stamps, sorted keys.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY_SUFFIXES = (".partial", ".tmp")
DIGEST_KEY = "sha256"


def fsync_path(path: Path) -> None:
    """Flush a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed and renamed over `path`."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield partial
        fsync_path(partial)
        partial.replace(target)
        fsync_path(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes) -> None:
    """Put `content` at `path`, all of it or nothing."""
    with whole_file(path) as partial:
        partial.write_bytes(content)


def create_atomic(path: Path, content: bytes) -> bool:
    """Like `write_atomic`, but the first writer wins; False when `path` existed already."""
    temporary = _write_temporary(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    fsync_path(path.parent)
    return True


def _write_temporary(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def canonical_json(value: Any) -> bytes:
    """JSON bytes with sorted keys; NaN and infinities are refused with a ValueError."""
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False).encode() + b"\n"


def digest(content: bytes) -> str:
    """Hexadecimal sha256 of `content`."""
    return hashlib.sha256(content).hexdigest()


def signed_json(value: dict[str, Any]) -> bytes:
    """JSON that carries the sha256 of its own content, so that an edited file shows."""
    return canonical_json({**value, DIGEST_KEY: digest(canonical_json(value))})


def read_signed_json(path: Path) -> dict[str, Any]:
    """The content of a `signed_json` file, without its digest.

    Raises:
        ValueError: the file is no JSON object or was changed after it was written.
    """
    try:
        value = json.loads(path.read_bytes())
        recorded = value.pop(DIGEST_KEY)
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"not a JSON object with a {DIGEST_KEY} key ({error!r})") from error
    if digest(canonical_json(value)) != recorded:
        raise ValueError(f"content does not match its own {DIGEST_KEY}: edited or damaged")
    return value


def remove_temporaries(root: Path) -> None:
    """Delete what a killed writer left half written below `root`."""
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(TEMPORARY_SUFFIXES):
                Path(folder, name).unlink(missing_ok=True)


class LockedError(RuntimeError):
    """Another process holds a lock; the message names the file and what to do."""


class FileLock:
    """Advisory lock of one file (flock), gone with the process that holds it."""

    def __init__(self, path: Path, error: type[LockedError] = LockedError) -> None:
        self.path, self.error = path, error
        self._descriptor: int | None = None

    def acquire(self, *, shared: bool = False, patience: float = 0.0) -> None:
        """Take the lock, or change the kind held; tries for `patience` seconds.

        Raises:
            LockedError: another process holds it.
        """
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    self.release()
                    raise self.error(
                        f"{self.path.parent} is in use by another process, which holds "
                        f"{self.path.name}; wait for it, or end it if it is an orphan of an "
                        f"earlier run (`fuser {self.path}` shows its id)"
                    ) from None
                time.sleep(0.05)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
