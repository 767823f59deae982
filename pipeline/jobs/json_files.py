"""JSON files of the stages: written whole, carrying their own digest, checked when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sagsae.files import read_signed_json, signed_json, write_atomic

ADVICE = ": delete it and run snakemake again"


def write_json(path: str | Path, value: dict[str, Any]) -> None:
    """Write sorted, indented JSON with its own sha256, all of it or nothing.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    write_atomic(Path(path), signed_json(value))


@contextmanager
def expect_fields(path: str | Path) -> Iterator[None]:
    """Name the file where a sound one of another kind has not what is looked for in it.

    Raises:
        ValueError: instead of the errors of indexing and of types; the message says what to do.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: not such a file ({error!r}){ADVICE}") from error


def read_json(path: str | Path) -> dict[str, Any]:
    """The content of a ``write_json`` file, without its digest.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not JSON, edited or damaged; the message names the file and says what to do.
    """
    try:
        return read_signed_json(Path(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}{ADVICE}") from None


def json_argument(text: str) -> Any:
    """What an argument of a stage says: JSON, or @ and a ``write_json`` file that holds it.

    Linux ends one argument of a command, which is the whole command of a rule, at 128 KiB.

    Raises:
        ValueError: not JSON, or a file as in ``read_json``.
    """
    return read_json(text[1:]) if text.startswith("@") else json.loads(text)


def digest(spec: Any) -> str:
    """Sixteen hexadecimal digits that name a specification."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()[:16]


def canonical(spec: Any) -> str:
    """Sorted JSON without spaces, of plain values or of a pydantic model: one text per value."""
    value = spec if isinstance(spec, dict | list | float) else spec.model_dump()
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
