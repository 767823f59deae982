"""The digest of the code that makes tables, figures, claims and the report."""

from __future__ import annotations

import hashlib
from pathlib import Path

import sagsae

HERE = Path(__file__).parent
FOLDERS = HERE, HERE.with_name("claims"), Path(sagsae.__file__).parent


def code_digest() -> str:
    """Of the sources of this folder, of claims and of the library. It is a parameter of the
    rules of analysis, so that a changed line makes tables again."""
    paths = [
        path for folder in FOLDERS for end in ("py", "j2") for path in folder.rglob(f"*.{end}")
    ]
    found = hashlib.sha256()
    for path in sorted(paths):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]
