"""The client of a bucket: the address from an s3:// URL, everything else from the environment.

Credentials are never taken from a URL, a configuration or an argument. They come from the
environment's own chain: `AWS_ACCESS_KEY_ID` and its kin, a web identity, the metadata of a
container or a machine; and, where boto3 is installed, a profile of ~/.aws. `AWS_ENDPOINT_URL` names
another server than Amazon's, `AWS_REGION` the region.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sagsae.storage.base import StorageError

SCHEME = "s3://"
URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(?:/[\w.+=-]+)*)/?")
"""A bucket, and a prefix of letters, digits and . _ + = - between slashes."""
SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_TOKEN")
REQUEST_SECONDS = 300
"""For one request, the largest of which writes or reads a block."""
RETRIES = 10
"""Of a request that is not answered, over some minutes."""
INSTALL = "install it with `pip install 'sagsae[s3]'`"


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


def client(bucket: str, prefix: str) -> Any:
    """obstore's client of what lies below a prefix.

    Raises:
        StorageError: obstore is not installed, or refuses what the environment says.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError:
        raise StorageError(
            f"s3://{bucket}: stores of objects need the package obstore: {INSTALL}"
        ) from None
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    options: dict[str, Any] = {
        "client_options": {"timeout": f"{REQUEST_SECONDS}s"},
        "retry_config": {"max_retries": RETRIES},
    }
    if endpoint:
        options["endpoint"] = endpoint
        options["client_options"]["allow_http"] = endpoint.startswith("http://")
    if (profile := _profile()) is not None:
        options["credential_provider"] = _boto3_chain(*profile)
    try:
        return S3Store(bucket, prefix=prefix or None, **options)
    except (BaseError, ValueError) as error:
        raise StorageError(f"s3://{bucket}: {without_secrets(error)}") from None


def _profile() -> tuple[str, str] | None:
    """The profile and its file for boto3's chain, where the environment itself has no keys."""
    direct = {"AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"} & os.environ.keys()
    name = os.environ.get("AWS_PROFILE", "")
    shared = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")).expanduser()
    if direct or not (name or shared.exists()) or not (name or find_spec("boto3")):
        return None
    return name, str(shared)


@lru_cache(maxsize=8)
def _boto3_chain(name: str, file: str) -> Any:
    """The provider of the credentials that boto3 finds."""
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        raise StorageError(
            f"AWS_PROFILE is {name!r}, and profiles need boto3: `pip install boto3`"
        ) from None
    return Boto3CredentialProvider()


def without_secrets(error: object) -> str:
    """The first paragraph of a message in one line, without what the environment keeps secret."""
    text = " ".join(str(error).split("\n\nDebug source")[0].split())
    for name in SECRETS:
        if secret := os.environ.get(name):
            text = text.replace(secret, "***")
    text = re.sub(r"(<AWSAccessKeyId>)[^<]*", r"\1***", text)
    return text[:1000]


def failure(error: BaseException, what: str) -> StorageError | None:
    """What an error of obstore says of the place; None where it says that a content is missing."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    if isinstance(error, FileNotFoundError | BaseError) and "NoSuchBucket" in str(error):
        return StorageError(f"{what}: there is no such bucket; make it, or correct the URL")
    if not isinstance(error, BaseError):
        return None
    remedy = "run the same command again once the server answers"
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        remedy = "see which credentials the environment has, and what they may do with the bucket"
    return StorageError(f"{what}: {without_secrets(error)}; {remedy}")


@contextmanager
def requests(what: str) -> Iterator[None]:
    """Let errors of requests be StorageErrors without secrets, or FileNotFoundErrors.

    Args:
        what: they are about.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise (failure(error, what) or FileNotFoundError(2, "no such object", what)) from None
    except Exception as error:
        if (found := failure(error, what)) is None:
            raise
        raise found from None
