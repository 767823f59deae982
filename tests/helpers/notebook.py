"""Run docs/notebook.ipynb: ``python -m tests.helpers.notebook [STUDY]`` renews its outputs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest.mock import patch

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def read() -> nbformat.NotebookNode:
    """The notebook as it is kept, with its outputs."""
    return nbformat.read(NOTEBOOK, as_version=4)


def executed(study: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs that it has on a study.

    Args:
        study: results of a finished study, for example ``results/local``.

    Raises:
        CellExecutionError: a cell raised; the message has the cell and its traceback.
    """
    notebook = read()
    settings = {
        "SAGSAE_STUDY": str(study.resolve()),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }
    client = NotebookClient(
        notebook,
        timeout=600,
        coalesce_streams=True,  # else a slow machine's pauses split what one cell prints
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
        record_timing=False,  # else every run differs
        kernel_name="python3",
    )
    with patch.dict(os.environ, settings):
        client.execute()
    notebook.metadata.pop("language_info", None)  # the version of this Python
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(Path(*sys.argv[1:] or ["results/local"])), NOTEBOOK)
