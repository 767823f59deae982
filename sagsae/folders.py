"""Folders of one user on a machine that others use too."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def private_folder(path: Path, parents: bool = True) -> Path:
    """A folder of this user that nobody else may look into; it is made if it is not there.

    Raises:
        OSError: it cannot be made, is a link, or is somebody else's.
    """
    path.mkdir(mode=0o700, parents=parents, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise OSError(errno.EPERM, f"not a folder of user {os.getuid()}", str(path))
    return path
