"""JSON files of the stages: written whole, read with an error that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sagsae.files import canonical_json, write_atomic


def write_json(path: str | Path, value: Any) -> None:
    """Write sorted, indented JSON, all of it or nothing. NaN and infinity are refused."""
    write_atomic(Path(path), canonical_json(value))


def read_json(path: str | Path) -> Any:
    """Parse a JSON file.

    Raises:
        ValueError: the file is not JSON; the message names it and says what to do.
    """
    try:
        return json.loads(Path(path).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not JSON ({error}): delete it and run snakemake again") from None
