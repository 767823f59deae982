"""Stage: write the page of the latent browser and the list of the cells that it shows.

    python -m pipeline browser-page --spec @FILE --cells .../cell.json ... --out browser/index.html

The page and its scripts are copied from the folder ``page`` of this room; ``catalog.js`` names the
cells.

Data are scripts, too: a page that is opened from the disk may load scripts, and nothing else. A
script hands one JSON value to the page under its name: ``latents.give("NAME", VALUE)``. Long
columns of numbers are the base64 text of their bytes, little-endian. Text is never HTML: the page
puts it in as text.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.jobs.json_files import read_json
from pipeline.jobs.progress import say
from pipeline.jobs.stage import locked
from pipeline.study.scope import Scope
from sagsae.activations.tokens import TokenStore
from sagsae.files import write_atomic

PARTS = Path(__file__).parent / "page"
CONTEXTS_PER_FILE = 512
LABELS = "my-labels.js"
"""What readers of the page call latents: theirs, so it is written only where there is none."""


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
    whole = values.dtype.kind in "iu"
    kind = np.min_scalar_type(int(values.max(initial=0))) if whole else np.dtype(np.float32)
    content = values.astype(kind.newbyteorder("<")).tobytes()
    return {"kind": kind.name, "data": base64.b64encode(content).decode()}


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


def write_page(study: str, note: str, cells: Sequence[Path], out: Path) -> int:
    """Write the page; bytes of all that it loads, the cells included.

    Args:
        study: name of the study.
        note: what its readers must know.
        cells: cell.json of each cell that is shown, in the order of the list.
        out: the page; its scripts lie beside it.
    """
    listed, size = [], 0
    for path in cells:
        shown = read_json(path)
        folder = Path(os.path.relpath(path.parent, out.parent)).as_posix()
        listed.append({k: v for k, v in shown.items() if k != "spec"} | {"folder": folder})
        size += shown["bytes"]
    size += write_script(out.parent, "catalog", {"study": study, "note": note, "cells": listed})
    if not (labels := out.parent / LABELS).exists():
        write_atomic(labels, b"globalThis.savedLabels = {};\n")
    parts = sorted(PARTS.iterdir(), key=lambda part: part.suffix == out.suffix)  # the page last
    for part in parts:
        content = part.read_bytes()
        write_atomic(out if part.suffix == out.suffix else out.parent / part.name, content)
        size += len(content)
    return size


def main(scope: Path, cells: Sequence[Path], out: Path) -> None:
    """Run the stage.

    Args:
        scope: study.json, or a file of the same
        cells: cell.json of each cell that is shown
        out: HTML file to write
    """
    study = Scope.read(scope)
    with locked(out.parent, out.stem):
        size = write_page(study.study, study.note, cells, out)
    say(f"{out}: {len(cells)} autoencoders, {size / 2**20:.1f} MiB; open it in a browser")
