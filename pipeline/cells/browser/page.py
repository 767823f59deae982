"""Stage: write the page of the latent browser and the list of the cells that it shows.

    python -m pipeline browser-page --spec @FILE --cells .../cell.json ... --out browser/index.html

The page and its scripts are copied from the folder ``page`` of this room; ``catalog.js`` names the
cells.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.cells.browser.scripts import write_script
from pipeline.jobs.json_files import read_json
from pipeline.jobs.progress import say
from pipeline.jobs.stage import locked
from pipeline.study.scope import Scope
from sagsae.files import write_atomic

PARTS = Path(__file__).parent / "page"


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
        found = read_json(path)
        folder = Path(os.path.relpath(path.parent, out.parent)).as_posix()
        listed.append({k: v for k, v in found.items() if k != "spec"} | {"folder": folder})
        size += found["bytes"]
    size += write_script(out.parent, "catalog", {"study": study, "note": note, "cells": listed})
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
