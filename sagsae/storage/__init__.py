"""Where activation stores lie: in a folder, or as the objects of a bucket (s3://BUCKET/PREFIX).

One small interface, `Storage`, has two implementations. `storage_at` opens a place by its name.
"""

from __future__ import annotations

import os

from sagsae.storage.base import Claim as Claim
from sagsae.storage.base import Location as Location
from sagsae.storage.base import SizeError as SizeError
from sagsae.storage.base import Storage as Storage
from sagsae.storage.base import StorageError as StorageError
from sagsae.storage.folder import Folder as Folder
from sagsae.storage.s3 import INSTALL, parse
from sagsae.storage.s3 import is_url as is_url


def storage_at(where: Location) -> Storage:
    """The place of a path or a URL; nothing is looked at yet.

    Args:
        where: a folder, or a URL such as s3://bucket/prefix.

    Raises:
        ValueError: a URL of another form.
        StorageError: a package is missing.
    """
    if isinstance(where, Storage):
        return where
    path = os.fspath(where)
    if not is_url(path):
        if path.startswith("s3:/"):
            raise ValueError(f"{path} is a URL that was made a path: give it as text")
        return Folder(path)
    parse(path)
    try:
        from sagsae.storage.objects import Objects
    except ImportError:
        raise StorageError(f"stores of objects need the package obstore: {INSTALL}") from None
    return Objects(path)
