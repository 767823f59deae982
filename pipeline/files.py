"""JSON files of the stages: written whole, carrying their own digest, checked when read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sagsae.files import read_signed_json, signed_json, write_atomic


def write_json(path: str | Path, value: dict[str, Any]) -> None:
    """Write sorted, indented JSON with its own sha256, all of it or nothing.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    write_atomic(Path(path), signed_json(value))


def read_json(path: str | Path) -> dict[str, Any]:
    """The content of a ``write_json`` file, without its digest.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not JSON, edited or damaged; the message names the file and says what to do.
    """
    try:
        return read_signed_json(Path(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}: delete it and run snakemake again") from None
