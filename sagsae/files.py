"""Durable files: whole or not there, fsync, self-checking JSON and an advisory lock.

Everything written here is a pure function of its content: no time stamps, sorted keys.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

DIGEST_KEY = "content_sha256"
# Files in one folder that a file system bears; a hookpoint keeps each chunk, or shard, in one.
MAX_FILES = 50_000
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
# Seconds until a waiting process says for whom it waits, and between reminders.
_FIRST_MESSAGE, _MESSAGE_EVERY = 1.0, 300.0


def fsync_path(path: Path) -> None:
    """Flush a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: str | Path, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed and renamed over `path`.

    Without `flush` the caller has to flush the file and its folder (`fsync_path`).
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
        if flush:
            fsync_path(partial)
        partial.replace(target)
        if flush:
            fsync_path(target.parent)
    except OSError as error:
        error.filename = error.filename or str(target)  # a full disk is met without a name
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes) -> None:
    """Put `content` at `path`, all of it or nothing."""
    with whole_file(path) as partial:
        partial.write_bytes(content)


def canonical_json(value: Any) -> bytes:
    """JSON bytes with sorted keys; NaN and infinities are refused with a ValueError."""
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False).encode() + b"\n"


def digest(content: bytes) -> str:
    """Hexadecimal sha256 of `content`."""
    return hashlib.sha256(content).hexdigest()


def signed(value: dict[str, Any]) -> dict[str, Any]:
    """An object with the sha256 of its own content, so that an edit shows.

    Raises:
        ValueError: NaN, an infinity, or a key of the digest's name in `value`.
    """
    if DIGEST_KEY in value:
        raise ValueError(f"a signed JSON object has a key {DIGEST_KEY!r} of its own")
    return {**value, DIGEST_KEY: digest(canonical_json(value))}


def check_signed(value: dict[str, Any]) -> dict[str, Any]:
    """The object that `signed` was given.

    Raises:
        ValueError: it was changed afterwards, or was never signed.
    """
    rest = {key: part for key, part in value.items() if key != DIGEST_KEY}
    if value.get(DIGEST_KEY) != digest(canonical_json(rest)):
        raise ValueError(f"content does not match its own {DIGEST_KEY}: edited or damaged")
    return rest


def signed_json(value: dict[str, Any]) -> bytes:
    """JSON of `signed`, which raises ValueError."""
    return canonical_json(signed(value))


def read_signed_json(path: Path) -> dict[str, Any]:
    """The content of a `signed_json` file, without its digest.

    Raises:
        ValueError: the file is no JSON object or was changed after it was written.
    """
    return checked_json(path.read_bytes())


def checked_json(content: bytes) -> dict[str, Any]:
    """The object in the bytes of `signed_json`, without its digest.

    Raises:
        ValueError: no JSON object, or changed after it was written.
    """
    try:
        value: dict[str, Any] = json.loads(content)
        del value[DIGEST_KEY]
        expected = signed_json(value)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"not a JSON object with a {DIGEST_KEY} key ({error!r})") from error
    if content != expected:
        raise ValueError(f"content does not match its own {DIGEST_KEY}: edited or damaged")
    return value


def differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    """What two JSON objects differ in, as "name: there -> here"; empty where they are equal."""
    here = json.loads(json.dumps(here))  # which makes lists of tuples
    pairs = {name: (there.get(name), here.get(name)) for name in sorted({*there, *here})}
    return "; ".join(
        f"{name}: {one} -> {other}" for name, (one, other) in pairs.items() if one != other
    )


def try_flock(descriptor: int, kind: int, path: Path) -> bool:
    """Take a lock (flock) on the open file `path`; False while others hold it.

    Raises:
        OSError: the file system refuses locks; the message says what to do.
    """
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise OSError(
            error.errno,
            f"{os.strerror(error.errno)}: this file system refuses locks (flock), which keep two "
            "processes from writing the same files; mount it with locks (NFS without `nolock`, "
            "Lustre with `flock`) or choose a folder on another file system",
            str(path),
        ) from error
    return True


def this_process() -> str:
    """How this process names itself in the locks that it holds."""
    return f"process {os.getpid()} on {os.uname().nodename}"


class LockedError(RuntimeError):
    """Another process holds a lock; the message names the file and what to do."""


class FileLock:
    """Advisory lock of one file (flock), gone with the process that holds it.

    While it is held exclusively the file names the holder, for the message that others get.
    """

    def __init__(self, path: Path, error: type[LockedError] = LockedError) -> None:
        self.path, self.error = path, error
        self._descriptor: int | None = None
        self._exclusive = False

    def acquire(
        self,
        *,
        shared: bool = False,
        patience: float = 0.0,
        waiting: Callable[[str], None] | None = None,
    ) -> bool:
        """Take the lock, or change the kind held.

        Args:
            shared: beside other shared holders, instead of alone.
            patience: seconds to try for, `math.inf` for ever.
            waiting: called with a line that names the holder, soon and then every few minutes.

        Returns:
            Whether somebody else had to give it up first.

        Raises:
            LockedError: another process still holds it.
            OSError: the file system refuses locks.
        """
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        began = time.monotonic()
        next_message, waited = began + _FIRST_MESSAGE, False
        while True:
            try:
                if try_flock(self._descriptor, kind, self.path):
                    break
            except OSError:
                self.release()
                raise
            now, waited = time.monotonic(), True
            if now - began >= patience:
                time.sleep(0.05)  # who took it this very instant has not signed yet
                message = f"{self._in_use()}; wait for it, or end it if it is an orphan"
                self.release()
                raise self.error(f"{message} of an earlier run")
            if waiting is not None and now >= next_message:
                waiting(f"waiting since {now - began:.0f} s: {self._in_use()}")
                next_message = now + _MESSAGE_EVERY
            time.sleep(0.05)
        if self._exclusive == shared:
            self._sign(b"" if shared else this_process().encode())
        self._exclusive = not shared
        return waited

    def holder(self) -> str:
        """What the process that has the lock alone calls itself; empty where none has.

        Asking takes the lock for a moment where it is free.

        Raises:
            OSError: there is no such file, or the file system refuses locks.
        """
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            signed = os.pread(descriptor, 200, 0).decode(errors="replace")
            return "" if try_flock(descriptor, fcntl.LOCK_SH, self.path) else signed
        finally:
            os.close(descriptor)

    def _in_use(self) -> str:
        assert self._descriptor is not None
        holder = os.pread(self._descriptor, 200, 0).decode(errors="replace") or "another process"
        return f"{self.path.parent} is in use by {holder}, which holds {self.path.name}"

    def _sign(self, holder: bytes) -> None:
        assert self._descriptor is not None
        with suppress(OSError):  # a full disk must not cost the lock
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, holder, 0)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is not None:
            if self._exclusive:
                self._sign(b"")
            os.close(self._descriptor)
            self._descriptor, self._exclusive = None, False
