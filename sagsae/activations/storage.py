"""Where activation stores lie: in a folder, or as the objects of a bucket (s3://BUCKET/PREFIX).

A place has contents by name, each whole or not there at all. Names are relative; their parts stand
between slashes.

Credentials of a bucket come from the environment alone: `AWS_ACCESS_KEY_ID` and its kin, a web
identity, or the metadata of a container or a machine. `AWS_ENDPOINT_URL` names another server than
Amazon's, `AWS_REGION` the region.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from sagsae.files import fsync_path, whole_file

# A bucket, and a prefix of letters, digits and . _ + = - between slashes.
URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(?:/[\w.+=-]+)*)/?")
SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_TOKEN")
# For one request, the largest of which writes or reads a block.
REQUEST_SECONDS = 300
# Of a request that is not answered, over some minutes.
RETRIES = 10


class StorageError(RuntimeError):
    """A bucket cannot be reached or used as asked; the message says why and what to do."""


class Folder:
    """The files below a folder: flushed, then named.

    Attributes:
        path: of the folder; it need not exist before something is written.
    """

    remote = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __reduce__(self) -> tuple[type[Folder], tuple[Path]]:
        return Folder, (self.path.absolute(),)  # another process may work elsewhere

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> Folder:
        return Folder(self.path / name)

    def read(self, name: str) -> bytes:
        """A content; FileNotFoundError where there is none."""
        return (self.path / name).read_bytes()

    def size(self, name: str) -> int:
        """Bytes of a content; FileNotFoundError where there is none."""
        return (self.path / name).stat().st_size

    def exists(self, name: str) -> bool:
        """Whether there is such a content."""
        return (self.path / name).is_file()

    def names(self, folder: str = "") -> list[str]:
        """Last parts of the names of the contents directly in a folder, in no order."""
        with suppress(FileNotFoundError), os.scandir(self.path / folder) as found:
            return [entry.name for entry in found if entry.is_file()]
        return []

    def write(self, name: str, *parts: bytes | memoryview, flush: bool = True) -> None:
        """Put a content there, all of it or nothing; `flush=False` leaves that to `settle`."""
        with whole_file(self.path / name, flush) as partial, partial.open("wb") as stream:
            for part in parts:
                stream.write(part)

    def settle(self, names: Iterable[str]) -> None:
        """Flush contents, and the names in folders."""
        for name in names:
            fsync_path(self.path / name)

    def delete(self, name: str) -> None:
        """Remove a content; harmless where there is none."""
        (self.path / name).unlink(missing_ok=True)

    def zarr_store(self, folder: str, *, read_only: bool) -> Any:
        """Zarr's own store of what lies in a folder."""
        from zarr.storage import LocalStore

        return LocalStore(self.path / folder, read_only=read_only)

    def requests(self, name: str = "") -> AbstractContextManager[None]:
        """Errors of files say enough by themselves."""
        return nullcontext()


class Bucket:
    """What lies below s3://BUCKET/PREFIX. Its methods are those of `Folder`.

    A put is whole or not there. There are no locks: let one job at a time fill a store.

    Args:
        url: of it.
    """

    remote = True

    def __init__(self, url: str) -> None:
        self.bucket, self.prefix = parse(url)

    def __reduce__(self) -> tuple[type[Bucket], tuple[str]]:
        return Bucket, (str(self),)  # another process has credentials of its own

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def __truediv__(self, name: str) -> Bucket:
        return Bucket(f"{self}/{name}")

    @cached_property
    def _client(self) -> Any:
        return _client(self.bucket, self.prefix)

    def read(self, name: str) -> bytes:
        with self.requests(name):
            return bytes(self._client.get(name).bytes())

    def size(self, name: str) -> int:
        with self.requests(name):
            return int(self._client.head(name)["size"])

    def exists(self, name: str) -> bool:
        with suppress(FileNotFoundError):
            return self.size(name) >= 0
        return False

    def names(self, folder: str = "") -> list[str]:
        with self.requests(folder):
            found = self._client.list_with_delimiter(folder or None)["objects"]
        return [item["path"].rpartition("/")[2] for item in found]

    def write(self, name: str, *parts: bytes | memoryview, flush: bool = True) -> None:
        with self.requests(name):  # one request: a killed upload leaves no invisible parts
            self._client.put(name, b"".join(parts), use_multipart=False)

    def settle(self, names: Iterable[str]) -> None:
        """Objects last once they are written."""

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError), self.requests(name):
            self._client.delete(name)

    def zarr_store(self, folder: str, *, read_only: bool) -> Any:
        from zarr.storage import ObjectStore

        prefix = f"{self.prefix}/{folder}".strip("/")
        return ObjectStore(_client(self.bucket, prefix), read_only=read_only)

    @contextmanager
    def requests(self, name: str = "") -> Iterator[None]:
        """Let errors of requests be StorageErrors without secrets, or FileNotFoundErrors."""
        what = f"{self}/{name}".rstrip("/")
        try:
            yield
        except Exception as error:
            text, missing = _without_secrets(error), isinstance(error, FileNotFoundError)
            if missing and "NoSuchBucket" not in text:
                raise FileNotFoundError(2, "no such object", what) from None
            if not missing and not type(error).__module__.startswith("obstore"):
                raise
            raise StorageError(
                f"{what}: {text}; check bucket, credentials and network, then run the same "
                "command again"
            ) from None


# A place. `str` of it is its path or its URL.
Storage = Folder | Bucket
# How a place is named: a path, a URL such as s3://bucket/prefix, or itself.
Location = str | os.PathLike[str] | Folder | Bucket


def storage_at(where: Location) -> Storage:
    """The place of a path or a URL; nothing is looked at yet.

    Raises:
        ValueError: a URL of another form.
        StorageError: the package obstore is missing.
    """
    if isinstance(where, Folder | Bucket):
        return where
    path = os.fspath(where)
    if path.startswith("s3:/") and not is_url(path):
        raise ValueError(f"{path} is a URL that was made a path: give it as text")
    return Bucket(path) if is_url(path) else Folder(path)


def is_url(where: object) -> bool:
    """Whether a text names a place by a URL and not by a path."""
    return isinstance(where, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", where) is not None


def parse(url: str) -> tuple[str, str]:
    """Bucket and prefix of a URL, the prefix without slashes at its ends.

    Raises:
        ValueError: no such URL. The message does not repeat it: it may hold a secret.
    """
    match = URL.fullmatch(url)
    if match is None or ".." in url.split("/"):
        raise ValueError(
            "no URL of the form s3://BUCKET/PREFIX (letters, digits and . _ + = - in its parts); "
            "credentials and endpoint come from the environment, see docs/store.md"
        )
    return match["bucket"], match["prefix"].strip("/")


def _client(bucket: str, prefix: str) -> Any:
    """obstore's client of what lies below a prefix."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError:
        raise StorageError(
            f"s3://{bucket}: install the package obstore with `pip install 'sagsae[s3]'`"
        ) from None
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    try:
        return S3Store(
            bucket,
            prefix=prefix or None,
            client_options={
                "timeout": f"{REQUEST_SECONDS}s",
                "allow_http": endpoint.startswith("http://"),
            },
            retry_config={"max_retries": RETRIES},
            config={"endpoint": endpoint} if endpoint else None,
        )
    except (BaseError, ValueError) as error:
        raise StorageError(f"s3://{bucket}: {_without_secrets(error)}") from None


def _without_secrets(error: object) -> str:
    """The first paragraph of a message in one line, without what the environment keeps secret."""
    text = " ".join(str(error).split("\n\nDebug source")[0].split())
    for name in SECRETS:
        if secret := os.environ.get(name):
            text = text.replace(secret, "***")
    return re.sub(r"(<AWSAccessKeyId>)[^<]*", r"\1***", text)[:1000]
