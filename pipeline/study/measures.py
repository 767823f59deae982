"""The measures of a study: a folder of small files from which all science follows.

| file | a line, or row, for each |
|---|---|
| study.json | (one record) what analysis must know of the study, see `pipeline.study.scope` |
| cells.jsonl | cell: its metrics |
| dial.jsonl | job that steered |
| probe.jsonl | job that probed codes |
| signs.jsonl | job that looked into signs |
| synthetic.jsonl | seed of a synthetic protocol |
| curves.parquet | logged step of a training that figures draw; the first column names its cell |

    python -m pipeline measures --study study.json --root results/local --out measures/cells.jsonl
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import BaseModel, ValidationError

from pipeline.jobs.json_files import canonical, read_json
from pipeline.study import outputs
from pipeline.study.cell import Cell
from pipeline.study.curves import read_curve
from pipeline.study.dial import DialRun
from pipeline.study.looks import LookRun
from pipeline.study.metrics import CellMetrics, MetricsError, read_all
from pipeline.study.probe import ProbeRun
from pipeline.study.scope import Scope
from pipeline.study.sections import describe
from pipeline.study.signs import SignsRun
from sagsae.files import whole_file, write_atomic

Measure = TypeVar("Measure", bound=BaseModel)
Run = TypeVar("Run", bound=LookRun)
# What jobs leave that look into cells, by section.
RUNS: dict[str, type[LookRun]] = {run.kind: run for run in (DialRun, ProbeRun, SignsRun)}


class Measures:
    """A folder of measures, to be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def metrics(self, scope: Scope) -> dict[Cell, CellMetrics]:
        """Of each cell of the grid, in sorted order.

        Raises:
            MetricsError: a file or a line that cannot be used, or cells that it lacks.
        """
        found = {one.cell: one for one in self._records("cells", CellMetrics)}
        if missing := [cell.path for cell in scope.grid if cell not in found]:
            raise MetricsError(
                f"{self._file('cells')}: {len(missing)} cells are missing, the first is "
                f"{missing[0]}: run snakemake to train them"
            )
        return {cell: found[cell] for cell in sorted(scope.grid)}

    def runs(self, of: type[Run]) -> list[Run]:
        """What the jobs of one section found, in the order of the tables; raises as ``metrics``."""
        return list(self._records(of.kind, of))

    def synthetic_runs(self) -> list[dict[str, Any]]:
        """Each seed of each protocol: ``protocol``, ``seed``, ``rows``; raises as ``metrics``."""
        return [record for _, record in self._lines("synthetic")]

    def curves(self) -> pd.DataFrame:
        """The training curves that figures draw; no row where the study has none."""
        path = self.folder / outputs.CURVES
        return pd.read_parquet(path) if path.exists() else pd.DataFrame({"cell": []})

    def _file(self, kind: str) -> Path:
        return self.folder / outputs.MEASURED.format(kind=kind)

    def _records(self, kind: str, of: type[Measure]) -> Iterator[Measure]:
        for where, record in self._lines(kind):
            try:
                yield of.model_validate(record)
            except ValidationError as error:
                raise MetricsError(describe(error, where)) from None

    def _lines(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        path = self._file(kind)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise MetricsError(f"{path}: no such file: run `snakemake {path}`") from None
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                yield f"{path}, line {number}", json.loads(line)
            except ValueError as error:
                raise MetricsError(f"{path}, line {number}: no JSON ({error})") from None


def gather(scope: Scope, root: Path, out: Path) -> None:
    """Write one file of measures from what the jobs of a study left below ``root``.

    Raises:
        FileNotFoundError: a job has left nothing yet.
        ValueError: a damaged file; the message names it.
    """
    if out.name == outputs.CURVES:
        with whole_file(out) as partial:
            _curves(scope.drawn, root / "cells").to_parquet(partial, index=False)
        return
    if out.stem == "cells":
        read_all(root / "cells", scope.grid)  # names all faults at once
    folder, names = {
        "cells": ("cells", [f"{cell.path}/{outputs.METRICS}" for cell in scope.grid]),
        **{kind: (kind, getattr(scope, kind)) for kind in RUNS},
        "synthetic": (outputs.RUNS, scope.synthetic.runs),
    }[out.stem]
    files = ((root / folder / name).with_suffix(".json") for name in names)
    lines = (canonical(read_json(file)) + "\n" for file in files)
    write_atomic(out, "".join(lines).encode())


def _curves(cells: Iterable[Cell], root: Path) -> pd.DataFrame:
    parts = [
        read_curve(file).assign(cell=cell.path).set_index("cell").reset_index()
        for cell in cells
        for file in [root / cell.path / outputs.CURVE]
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"cell": []})


def main(study: Path, root: Path, out: Path) -> None:
    """Run the stage.

    Args:
        study: study.json of the folder of measures
        root: folder of the study's results
        out: the file of measures; its name says which
    """
    gather(Scope.read(study), root, out)
