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

from sagsae.activations.tokens import TokenStore
from sagsae.files import write_atomic

CONTEXTS_PER_FILE = 512
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


class Vocabulary:
    """The tokens that a cell's pages need, in ascending order of their ids.

    Args:
        ids: [n] token ids, ascending.
    """

    def __init__(self, ids: np.ndarray) -> None:
        self.ids = ids

    def numbers(self, ids: np.ndarray) -> np.ndarray:
        """Places of token ids among those of the vocabulary, in the same shape."""
        return np.searchsorted(self.ids, ids)

    def write(self, folder: Path, texts: list[str]) -> int:
        """Write the texts; bytes written."""
        return write_script(folder, "vocabulary", texts)

    def write_contexts(self, folder: Path, tokens: TokenStore, contexts: np.ndarray) -> int:
        """Write the tokens of some contexts, in files of `CONTEXTS_PER_FILE`; bytes written.

        A file has all of its contexts up to the last that is wanted.
        """
        size = 0
        for file in np.unique(contexts // CONTEXTS_PER_FILE):
            first, last = file * CONTEXTS_PER_FILE, (file + 1) * CONTEXTS_PER_FILE
            last = contexts[contexts < last].max() + 1
            wanted = np.isin(np.arange(first, last), contexts)
            ids = np.where(wanted[:, None], tokens.input_ids[first:last], self.ids[0])
            value = {
                "first": int(first),
                "length": tokens.context_length,
                "tokens": column(self.numbers(ids)),
            }
            size += write_script(folder, f"contexts-{file}", value)
        return size
