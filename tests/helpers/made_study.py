"""A made-up study on disk: the metrics of its cells, and everything built on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from pipeline.__main__ import main as run
from pipeline.analysis.csv_files import read_table
from pipeline.analysis.figure import draw
from pipeline.analysis.figures.shown import Drawn
from pipeline.analysis.table import sources
from pipeline.jobs.json_files import read_json, write_json
from pipeline.study.cell import Cell
from pipeline.study.curves import curve_content
from pipeline.study.measures import Measures, gather
from pipeline.study.outputs import CURVE
from pipeline.study.scope import Scope
from pipeline.study.study import Study

STEPS = range(0, 400, 50)


def made_rows(cell: Cell, steps: Iterable[int] = STEPS) -> list[dict[str, float]]:
    """Rows of a history: errors fall as 1/step, from 2 for Gated and from 1 for all others."""
    start = 2.0 if cell.variant == "gated" else 1.0
    return [
        {
            "step": float(step),
            "tokens": 2048.0 * (step + 1),
            "lr": 7e-4,
            **({"lambda": cell.lam} if cell.k is None else {"k": float(cell.k)}),
            "loss": 3 * start / (1 + step),
            "reconstruction": start / (1 + step),
            "penalty": 5.0,
            "auxiliary": 0.5,
            "l0": (cell.k or 8 / cell.knob) + 100 / (1 + step),
            "dead_fraction": step / 1000,
            "resets": 0.0,
        }
        for step in steps
    ]


@dataclass(frozen=True)
class MadeStudy:
    """A study folder: cells/ and what else jobs left; after each step what follows from it."""

    root: Path
    spec: dict[str, Any]
    """Of study.json; tests may change it."""

    @classmethod
    def of(cls, study: Study) -> Self:
        return cls(Path(study.root), study.scope.model_dump())

    @property
    def scope(self) -> Scope:
        return Scope.model_validate(self.spec)  # what a test has changed

    @property
    def _measures(self) -> Path:
        return self.root / "measures"

    def measure(self) -> list[str]:
        """Gather the measures of the jobs that there are; the option that names their folder."""
        self.spec["curves"] = [
            path
            for path in self.scope.curves
            if (self.root / "cells" / path / "curve.parquet").exists()
        ]
        write_json(self._measures / "study.json", self.scope.model_dump())
        for kind in ("cells", "dial", "probe"):
            if self.scope.jobs(kind):
                gather(self.scope, self.root, self._measures / f"{kind}.jsonl")
        gather(self.scope, self.root, self._measures / "curves.parquet")
        return [f"--measures={self._measures}"]

    def tables(self) -> Path:
        """Every table but the claims."""
        self.measure()
        for kind in ("cells", "dial", "probe", "ranking"):
            if {source.kind: source for source in sources()}[kind].when(self.scope):
                self.make(kind)
        return self.root / "tables"

    def make(self, kind: str) -> None:
        """The tables that are made from one kind of measures, or from other tables."""
        run(["tables", f"--of={kind}", f"--measures={self._measures}", f"--root={self.root}"])

    def table(self, name: str) -> pd.DataFrame:
        """One of the tables that were made."""
        return read_table(self.root / "tables" / f"{name}.csv")

    @property
    def cells(self) -> list[str]:
        """Paths of the cells."""
        return list(self.scope.jobs("cells"))

    def keep(self, kept: Callable[[str], bool]) -> None:
        """Let the study have some of its cells alone."""
        cells = {path: made for path, made in self.scope.jobs("cells").items() if kept(path)}
        self.spec["made_for"] = self.spec["made_for"] | {"cells": cells}

    def of_another(self, **digests: str) -> Scope:
        """The study under a configuration that gives its cells other digests."""
        cells = {path: made | digests for path, made in self.scope.jobs("cells").items()}
        made_for = self.spec["made_for"] | {"cells": cells}
        return Scope.model_validate(self.spec | {"made_for": made_for})

    def draw(self, name: str) -> Drawn:
        """A figure and its numbers."""
        return draw(name, self.root, self.scope, Measures(self._measures))

    def figure(self, name: str) -> None:
        """As the workflow draws it: an image for readers, one for the report."""
        out = [f"{self.root}/figures/{name}.{end}" for end in ("png", "svg")]
        run(["figure", f"--measures={self._measures}", f"--root={self.root}", "--out", *out])

    def page(self, name: str, end: str = "md") -> str:
        """A table for readers."""
        table = self.root / "tables" / f"{name}.csv"
        out = table.with_suffix(f".{end}")
        run(["page", f"--measures={self._measures}", f"--table={table}", f"--out={out}"])
        return out.read_text(encoding="utf-8")

    def report(self, *options: str) -> str:
        out = self.root / "report.html"
        named = [f"--measures={self._measures}", f"--root={self.root}"]
        run(["report", *named, *options, f"--out={out}"])
        return out.read_text(encoding="utf-8")

    def metrics_file(self, cell: str) -> Path:
        return self.root / "cells" / cell / "metrics.json"

    def curve(self, cell: Cell, steps: Iterable[int] = STEPS) -> None:
        """Write the training curve of a cell."""
        made_for = self.scope.jobs("cells")[cell.path]["train"]
        content = curve_content(made_rows(cell, steps), cell, made_for)
        (self.root / "cells" / cell.path / CURVE).write_bytes(content)

    def change(self, cell: str, **values: Any) -> None:
        path = self.metrics_file(cell)
        write_json(path, read_json(path) | values)


def write_metrics(study: Study, result: Callable[[Cell, int], dict[str, Any]]) -> MadeStudy:
    """Write the metrics of every cell: ``result`` of the cell and of d_model."""
    for cell in study.cells:
        path = Path(study.metrics(cell))
        path.parent.mkdir(parents=True)
        metrics = result(cell, study.models[cell.model].d_model)
        metrics["made_from"] |= study.cell_made_for(cell)
        write_json(path, metrics)
    return MadeStudy.of(study)


def metrics_of(cell: Cell, d_model: int, *, l0: float, r2: float, dead: int) -> dict[str, Any]:
    """A complete metrics file."""
    return {
        "cell": asdict(cell),
        "d_model": d_model,
        "parameters": (2 * d_model + 3) * cell.width + d_model,
        "parameters_per_latent": 2 * d_model + 3,
        "break_even_share": None if cell.variant == "gated" else 0.0,
        "l0": l0,
        "r2": r2,
        "sse": (1 - r2) * 3.2,
        "sst": 3.2,
        "dead_fraction": dead / cell.width,
        "dead_latents": dead,
        "eval_tokens": 8192,
        "loss_recovered": 0.9,
        "loss_recovered_mean": 0.88,
        "ce_sae": 3.24,
        "ce_clean": 3.1,
        "ce_zero": 4.5,
        "ce_mean": 4.3,
        "ce_tokens": 1016,
        "lr_noisy": False,
        "bipolar_fraction": 0.71,
        "bipolar_firing_share": 0.8,
        "census": {
            "minority_share_quantiles": [i / 100 for i in range(51)],
            "top1_bipolar_fraction": 1.0,
            "top10_bipolar_fraction": 0.9,
            "top1_minority_share": 0.4,
            "top10_minority_share": 0.35,
        },
        "calibration": {
            side: {
                "latents": cell.width - dead,
                "mean": 1.01,
                "median": 1.0,
                "quantiles": [0.5 + i / 50 for i in range(51)],
            }
            for side in ("positive", "negative")
        },
        "collapsed": [],
        "training": {
            "steps": 400,
            "tokens": 819200,
            "seconds": 55.0,
            "tokens_per_second": 14900.0,
            "data_wait_seconds": 0.4,
            "peak_memory_mb": 900.0,
            "device": "cpu",
            "threads": 1,
            "matmul_dtype": "bfloat16",
        },
        "made_from": {
            "train": "1" * 16,
            "evaluate": "2" * 16,
            "store": "12e3456789012345",
            "weights_sha256": "4" * 64,
            "latents_sha256": "5" * 64,
        },
    }
