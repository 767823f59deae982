"""Data as scripts: a page that is opened from the disk may load scripts, and nothing else.

A script hands one JSON value to the page under its name: ``latents.give("NAME", VALUE)``. Long
columns of numbers are the base64 text of their bytes, little-endian. Text is never HTML: the page
puts it in as text.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sagsae.files import write_atomic

UNSIGNED = (np.uint8, np.uint16, np.uint32)


def write_script(folder: Path, name: str, value: Any) -> int:
    """Write ``NAME.js`` in a folder; its size in bytes.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    content = f"latents.give({json.dumps(name)},{text});\n".encode()
    write_atomic(folder / f"{name}.js", content)
    return len(content)


def column(values: np.ndarray) -> dict[str, str]:
    """Numbers as the page reads them: whole ones in as few bytes as hold them, others as float32.

    Args:
        values: [...] whole numbers from 0 to 2**32 - 1, or floats; NaN is no value.
    """
    kind: type = np.float32
    if values.dtype.kind in "iu":
        largest = int(values.max(initial=0))
        kind = next(kind for kind in UNSIGNED if largest <= np.iinfo(kind).max)
    flat = np.ascontiguousarray(values.ravel().astype(np.dtype(kind).newbyteorder("<")))
    return {"kind": np.dtype(kind).name, "data": base64.b64encode(flat.tobytes()).decode()}


def rounded(values: Iterable[float], digits: int = 4) -> list[float]:
    """Floats at a number of significant digits."""
    return [float(f"{value:.{digits}g}") for value in values]
