"""The claims that a study names: this project's, or those of a user's own module."""

from __future__ import annotations

import hashlib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from pipeline.claims.claim import Claim
from pipeline.study.sections import claims_module


def load(name: str) -> ModuleType:
    """The module of claims of this name in a configuration.

    It has a list ``CLAIMS``. It may have ``LIMITS``, which its page says beside the limits of the
    study, and ``BESIDE``: columns of the matrix that tell of a setting, each with the function that
    makes its text of the evidence.

    Raises:
        ImportError: the module cannot be imported, or has no list of claims.
        ValueError: no name is given.
    """
    if not name:
        raise ValueError("this study names no claims: see `claims` in config/README.md")
    try:
        module = import_module(claims_module(name))
    except ImportError as error:
        raise ImportError(
            f"claims {name!r} cannot be imported ({error}); install their package here, or put the "
            "folder that holds them on PYTHONPATH"
        ) from error
    listed = getattr(module, "CLAIMS", None)
    if not isinstance(listed, list) or {type(one) for one in listed} != {Claim}:
        raise ImportError(f"claims {name!r}: give {module.__file__} a list CLAIMS of its @claim")
    return module


def claims_digest(name: str) -> str:
    """Of the sources of the module, so that a changed claim is judged again; imports nothing of it
    but the packages above."""
    found = find_spec(claims_module(name)) if name else None
    if found is None or found.origin is None:
        return ""
    file = Path(found.origin)
    files = sorted(file.parent.rglob("*.py")) if found.submodule_search_locations else [file]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
