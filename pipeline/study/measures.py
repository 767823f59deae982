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

Each line is what a job left, with its digest, the digests of the specifications that it was made
for, and the name by which study.json says what the configuration expects. A reader refuses a line
that was edited, and one that another configuration made.

    python -m pipeline measures --study study.json --root results/local --out measures/cells.jsonl
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
from pyarrow import parquet
from pydantic import BaseModel, ValidationError

from pipeline.jobs.json_files import read_json
from pipeline.study import outputs
from pipeline.study.cell import Cell
from pipeline.study.curves import read_curve
from pipeline.study.looks import LookRun
from pipeline.study.made_for import check_made_for
from pipeline.study.metrics import CellMetrics, MetricsError, read_metrics
from pipeline.study.scope import Scope
from pipeline.study.sections import describe
from pipeline.study.study_config import LOOKS
from sagsae.files import check_signed, signed, whole_file, write_atomic

Measure = TypeVar("Measure", bound=BaseModel)
Run = TypeVar("Run", bound=LookRun)
# What jobs leave that look into cells, by section.
RUNS = {kind: section.RUN for kind, section in LOOKS.items() if section.RUN}


class Measures:
    """A folder of measures, to be read.

    Args:
        folder: Where they lie.
        scope: The study that they must be of; that of the folder where it is not given.

    Raises:
        MetricsError: by every method: a file or a line that cannot be used, that is missing, or
            that another configuration made; the message names it.
    """

    def __init__(self, folder: Path, scope: Scope | None = None) -> None:
        self.folder, self._scope = folder, scope
        self._lines = cache(self._read_lines)

    @property
    def scope(self) -> Scope:
        """The study that they are of."""
        if self._scope is None:
            self._scope = Scope.read(self.folder / outputs.SCOPE)
        return self._scope

    def metrics(self) -> dict[Cell, CellMetrics]:
        """The metrics of each cell of the grid, in sorted order."""
        found = {metrics.cell: metrics for metrics in self._validated("cells", CellMetrics)}
        return {cell: found[cell] for cell in sorted(self.scope.grid)}

    def runs(self, of: type[Run]) -> list[Run]:
        """What the jobs of one section found, in the order of the tables."""
        return list(self._validated(of.kind, of))

    def synthetic_runs(self) -> list[dict[str, Any]]:
        """Each seed of each protocol: ``protocol``, ``seed``, ``rows``."""
        return list(self._records("synthetic"))

    def curves(self) -> pd.DataFrame:
        """The training curves that figures draw; no row where the study has none."""
        path = self.folder / outputs.CURVES
        if not path.exists():
            return pd.DataFrame({"cell": []})
        table = parquet.read_table(path, page_checksum_verification=True)
        made_for = json.loads((table.schema.metadata or {}).get(MADE_FOR, b"{}"))
        for name in self.scope.curves:
            self._check(f"{path}, {name}", made_for.get(name, {}), self._trained(name))
        return table.to_pandas()

    @property
    def files(self) -> list[str]:
        """Names of the files that a finished study has."""
        kinds = [k for k in self.scope.made_for if k != "synthetic" or self.scope.with_synthetic]
        lines = [outputs.MEASURED.format(kind=kind) for kind in kinds]
        return [outputs.SCOPE, *lines, *([outputs.CURVES] if self.scope.curves else [])]

    def check(self) -> None:
        """Read them all."""
        for name in self.files:
            if name != outputs.SCOPE:
                self.check_file(name)

    def check_file(self, name: str) -> None:
        """Read one file of measures."""
        if name == outputs.CURVES:
            self.curves()
        else:
            list(self._records(Path(name).stem))

    def is_current(self, name: str) -> bool:
        """Whether a file is there, is sound, and is of the study."""
        try:
            self.check_file(name)
        except (MetricsError, OSError, pa.ArrowException):
            return False
        return (self.folder / name).exists()

    def _trained(self, name: str) -> dict[str, str]:
        return {"train": self.scope.jobs("cells")[name]["train"]}

    def _validated(self, kind: str, of: type[Measure]) -> Iterator[Measure]:
        path = self.folder / outputs.MEASURED.format(kind=kind)
        for name, record in zip(self.scope.jobs(kind), self._records(kind), strict=True):
            try:
                yield of.model_validate(record)
            except ValidationError as error:
                raise MetricsError(describe(error, f"{path}, {name}")) from None

    def _records(self, kind: str) -> Iterator[dict[str, Any]]:
        """The measures of one kind that the study has, each as its job left it."""
        path, expected = self.folder / outputs.MEASURED.format(kind=kind), self.scope.jobs(kind)
        lines = self._lines(path)
        if missing := [name for name in expected if name not in lines]:
            raise MetricsError(
                f"{path}: {len(missing)} of {len(expected)} are missing, the first is "
                f"{missing[0]}: run snakemake to make them"
            )
        for name, digests in expected.items():
            self._check(f"{path}, {name}", lines[name], digests)
            yield lines[name]

    @staticmethod
    def _check(where: str, record: dict[str, Any], expected: dict[str, str]) -> None:
        try:
            check_made_for(where, record, expected)
        except ValueError as error:
            raise MetricsError(str(error)) from None

    @staticmethod
    def _read_lines(path: Path) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise MetricsError(f"{path}: no such file: run snakemake to make it") from None
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                record = json.loads(line)
                name = record.pop("name")
                found[name] = check_signed(record)
            except (ValueError, LookupError, AttributeError, TypeError) as error:
                raise MetricsError(
                    f"{path}, line {number}: {error}: delete the file and run snakemake again"
                ) from None
        return found


# Key of the metadata of curves.parquet: for what each cell was trained, as JSON.
MADE_FOR = b"made_for"


def job_file(root: Path, kind: str, name: str) -> Path:
    """What a job left of which a measure is made."""
    if kind == "cells":
        return root / kind / name / outputs.METRICS
    return root / outputs.LOOK.format(kind=outputs.RUNS if kind == "synthetic" else kind, look=name)


def gather(scope: Scope, root: Path, out: Path) -> None:
    """Write one file of measures from what the jobs of a study left below ``root``.

    Raises:
        MetricsError: all that is missing, damaged or of another configuration, by name.
    """
    if out.name == outputs.CURVES:
        with whole_file(out) as partial:
            parquet.write_table(_curves(scope, root / "cells"), partial, write_page_checksum=True)
        return
    lines, faults = [], []
    for name, expected in scope.jobs(out.stem).items():
        file = job_file(root, out.stem, name)
        try:
            if out.stem == "cells":
                read_metrics(file, Cell.from_path(name))
            record = read_json(file)
            check_made_for(file, record, expected)
            lines.append(json.dumps({"name": name, **signed(record)}, sort_keys=True) + "\n")
        except (OSError, ValueError) as error:
            faults.append(f"{name}: {error}")
    if faults:
        head = f"{len(faults)} of {len(scope.jobs(out.stem))} cannot be used"
        raise MetricsError("\n".join([head, *faults]))
    write_atomic(out, "".join(lines).encode())


def _curves(scope: Scope, root: Path) -> pa.Table:
    parts, made_for, jobs = [pd.DataFrame({"cell": []})], {}, scope.jobs("cells")
    for name in scope.curves:
        curve, made_for[name] = read_curve(root / name / outputs.CURVE)
        check_made_for(name, made_for[name], {"train": jobs[name]["train"]})
        parts.append(curve.assign(cell=name).set_index("cell").reset_index())
    table = pa.Table.from_pandas(pd.concat(parts[1:] or parts, ignore_index=True))
    return table.replace_schema_metadata(
        (table.schema.metadata or {}) | {MADE_FOR: json.dumps(made_for)}
    )


def main(study: Path, root: Path, out: Path) -> None:
    """Run the stage.

    Args:
        study: study.json of the folder of measures
        root: folder of the study's results
        out: the file of measures; its name says which
    """
    gather(Scope.read(study), root, out)
