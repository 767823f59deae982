"""The digest of the code that makes tables, figures, claims and the report."""

from __future__ import annotations

import hashlib
from pathlib import Path

import sagsae

HERE, LIBRARY = Path(__file__).parent, Path(sagsae.__file__).parent
# Of the library, those that compare.
MODULES = ("comparison", "contrasts", "dead_latents", "frontiers", "ranking", "sweeps")


def code_digest() -> str:
    """Of the sources of this folder and of ``MODULES``. It is a parameter of the rules of analysis,
    so that a changed line makes tables again."""
    own = [path for end in ("py", "j2") for path in HERE.rglob(f"*.{end}")]
    found = hashlib.sha256()
    for path in sorted([*own, *(LIBRARY / f"{name}.py" for name in MODULES)]):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]
