"""The metrics of trained cells as one table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from sagsae.files import DIGEST_KEY

FILE, LINES = "metrics.json", "cells.jsonl"
# Columns that say which cell a row is; rows are sorted by them.
CELL = ["model", "hookpoint", "variant", "recipe", "width", "lam", "seed"]
# In the place of lam, for a cell with a number of active latents.
K = "k"


def results(folder: str | Path) -> pd.DataFrame:
    """One row per trained cell, from all files ``metrics.json``, or ``cells.jsonl`` with a cell in
    each line, below a folder.

    Columns have the names of a study's ``cells.csv``: a field of a nested record is
    ``<record>_<field>``, for example ``training_seconds``. The first seven say which cell it is;
    ``recipe`` is an empty text for the study's default one. Where some cell is of a k-sparse
    variant, ``k`` follows ``lam``; one of the two is NaN then.
    Lists of numbers (quantiles) are left out. ``collapsed`` is a text, empty for a sound cell.
    Numbers that a file does not have, or holds as null, are NaN, and so is a Loss Recovered that
    is noise (``lr_noisy``).

    Args:
        folder: Results of a study, a published reference, or any part of either.

    Raises:
        FileNotFoundError: there is none of these files below the folder.
        ValueError: one of the files is not the metrics of a cell; the message names it.
    """
    paths = sorted(_metrics_files(Path(folder)))
    if not paths:
        raise FileNotFoundError(f"{folder}: no {FILE} or {LINES} below this folder; check the path")
    table = flat_table(_record(*where) for path in paths for where in _texts(path))
    table[CELL[5]] = table.get(CELL[5], float("nan"))
    named = [*CELL[:6], *[K] * (K in table), CELL[6]]
    rest = [name for name in table.columns if name not in named]
    return table[[*named, *rest]].sort_values(named, ignore_index=True)


def flat_table(records: Iterator[dict[str, Any]]) -> pd.DataFrame:
    """One flat row per record of ``metrics.json``, in the order given; see `results`."""
    table = pd.json_normalize(list(records), sep="_")
    table = table.rename(columns={f"cell_{name}": name for name in (*CELL, K)})
    table["recipe"] = table["recipe"].fillna("") if "recipe" in table else ""
    table["collapsed"] = table["collapsed"].str.join("; ")
    lists = table.map(lambda value: isinstance(value, list)).any()
    table = table.loc[:, ~lists]
    return table.where(table.notna(), float("nan")).infer_objects()


def _metrics_files(folder: Path) -> Iterator[Path]:
    """The files, without lines that repeat what a study's folder ``cells`` has."""
    paths: list[Path] = []
    for parent, names, files in os.walk(folder):
        names[:] = [name for name in names if not name.endswith(".zarr")]  # many files, no metrics
        paths += (Path(parent, name) for name in (FILE, LINES) if name in files)
    trained = {above for path in paths if path.name == FILE for above in path.parents}
    for path in paths:
        beside = {above / Path(LINES).stem for above in path.parents[1:3]}
        if path.name == FILE or beside.isdisjoint(trained):
            yield path


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """The records of a file, each with what messages call it."""
    if path.name == FILE:
        yield str(path), path.read_bytes()
        return
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        yield f"{path}, line {number}", line


def _record(path: str, text: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
        cell = {"lam" if name == K else name for name in found["cell"]}
        missing = {*CELL} - {"recipe", *cell} or {"l0", "r2", "collapsed"} - {*found}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: not the metrics of a cell ({error!r})") from None
    if missing:
        raise ValueError(f"{path}: not the metrics of a cell, it lacks {', '.join(missing)}")
    noise = {key for key in found if key.startswith("loss_recovered") and found.get("lr_noisy")}
    return {
        key: None if key in noise else value for key, value in found.items() if key != DIGEST_KEY
    }
