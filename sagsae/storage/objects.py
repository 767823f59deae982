"""The objects of a bucket below a prefix: a put is whole or not there, and may have a condition."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError

from sagsae.files import LockedError
from sagsae.storage import s3
from sagsae.storage.base import Lock, SizeError, Storage, StorageError
from sagsae.storage.claims import Claims, ObjectClaim

PROBE, OLD = ".probe-", timedelta(hours=1)
"""Objects by which a server is asked whether it keeps conditions; when nobody asks any more."""
TRIES = 5
"""Of a conditional put whose rival has gone before it could be looked at."""


class Objects(Storage):
    """What lies below s3://BUCKET/PREFIX.

    Args:
        url: of it.
    """

    remote = True

    def __init__(self, url: str) -> None:
        self.bucket, self.prefix = s3.parse(url)

    def __reduce__(self) -> tuple[type[Objects], tuple[str]]:
        return Objects, (str(self),)  # another process has credentials of its own

    @property
    def name(self) -> str:
        return (self.prefix or self.bucket).rpartition("/")[2]

    def __str__(self) -> str:
        return f"{s3.SCHEME}{self.bucket}/{self.prefix}".rstrip("/")

    def __truediv__(self, name: str) -> Objects:
        return Objects(f"{self}/{name}")

    @cached_property
    def _client(self) -> Any:
        return s3.client(self.bucket, self.prefix)

    @cached_property
    def _claims(self) -> Claims:
        return Claims(self)

    def read(self, name: str) -> bytes:
        return bytes(self._get(name)[0])

    def _get(self, name: str) -> tuple[Any, str]:
        """A content and its version."""
        with s3.requests(f"{self}/{name}"):
            found = obstore.get(self._client, name)
            return found.bytes(), str(found.meta["e_tag"])

    def fetch(self, name: str, size: int, *buffers: memoryview) -> None:
        content = memoryview(self._get(name)[0])
        if len(content) != size:
            raise SizeError(len(content), size)
        at = 0
        for buffer in buffers:
            part = content[at : at + len(buffer)]
            buffer[: len(part)] = part
            at += len(part)

    def size(self, name: str) -> int:
        with s3.requests(f"{self}/{name}"):
            return int(obstore.head(self._client, name)["size"])

    def names(self, folder: str = "") -> list[str]:
        found = self._listing(folder)["objects"]
        return [item["path"].rpartition("/")[2] for item in found]

    def folders(self) -> list[str]:
        found = self._listing("")["common_prefixes"]
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    def _listing(self, folder: str) -> Any:
        with s3.requests(f"{self}/{folder}"):
            return obstore.list_with_delimiter(self._client, folder or None)

    def write(self, name: str, *parts: bytes | memoryview, flush: bool = True) -> None:
        content = parts[0] if len(parts) == 1 else b"".join(parts)
        with s3.requests(f"{self}/{name}"):
            # One request: a killed upload in several parts leaves parts that nobody sees.
            obstore.put(self._client, name, content, use_multipart=False)

    def create(self, name: str, content: bytes) -> bool:
        for _ in range(TRIES):
            if self._put(name, content, "create"):
                return True
            try:  # the rival may be this very put, whose answer was lost
                return self.read(name) == content
            except FileNotFoundError:
                continue
        raise StorageError(f"{self}/{name}: it appears and disappears; find out who else writes")

    def swap(self, name: str, old: bytes, new: bytes) -> bool:
        try:
            found, version = self._get(name)
            if bytes(found) == old and self._put(name, new, {"e_tag": version}):
                return True
            return self.read(name) == new
        except FileNotFoundError:
            return False

    def _put(self, name: str, content: bytes, mode: Any) -> bool:
        """Whether a put found its condition fulfilled."""
        with s3.requests(f"{self}/{name}"):
            try:
                obstore.put(self._client, name, content, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return False
        return True

    def delete(self, name: str) -> None:
        with s3.requests(f"{self}/{name}"):
            try:
                obstore.delete(self._client, name)
            except FileNotFoundError:
                return

    def clear(self) -> None:
        for page in self._pages():
            with s3.requests(str(self)):
                obstore.delete(self._client, [item["path"] for item in page])

    def total_size(self) -> int:
        return sum(item["size"] for page in self._pages() for item in page)

    def _pages(self) -> Iterator[Any]:
        """Everything below, some hundred objects at a time."""
        with s3.requests(str(self)):
            yield from obstore.list(self._client)

    def settle(self, names: Iterable[str]) -> None:
        """Objects last once they are written."""

    def check_writable(self) -> None:
        name = f"{PROBE}{uuid.uuid4().hex}"
        try:
            first = self.create(name, b"1")  # its answer may be lost like that of any other
            second = self._put(name, b"2", "create")
            stale = self._put(name, b"3", {"e_tag": '"00000000000000000000000000000000"'})
        finally:
            self.delete(name)
        if not first or second or stale:
            raise StorageError(
                f"{self}: this server ignores the conditions of a put (If-None-Match, If-Match), "
                "which keep two writers from one block; use a server that has them (Amazon S3, "
                "MinIO and most others do), or dump to a folder"
            )

    def lock(self, name: str, error: type[LockedError]) -> Lock:
        return _NoLock()

    def claim(self, name: str) -> ObjectClaim | None:
        return self._claims.take(name)

    def tidy(self) -> None:
        """A put that was killed leaves nothing; a question to the server may have been left."""
        for item in self._listing("")["objects"]:
            age = datetime.now(UTC) - item["last_modified"]
            if item["path"].startswith(PROBE) and age > OLD:
                self.delete(item["path"])

    def zarr_store(self, folder: str, *, read_only: bool) -> Any:
        from zarr.storage import ObjectStore

        prefix = f"{self.prefix}/{folder}".strip("/")
        return ObjectStore(s3.client(self.bucket, prefix), read_only=read_only)

    def failure(self, error: BaseException) -> StorageError | None:
        return s3.failure(error, str(self))


class _NoLock:
    """Objects have no lock that ends with a process: claims and conditional puts stand in."""

    def acquire(self, **_: object) -> bool:
        return False

    def release(self) -> None:
        """Nothing is held."""
