"""What the workflow costs beside the arithmetic: a plan, the start of a cell, tables and figures.

    python -m benchmarks.workflow [plan] [cell] [tables]

Processor time is that of the processes started; other work on the machine lengthens the wall time
beyond it.
"""

from __future__ import annotations

import argparse
import math
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pipeline.data.fetch import model_folder
from pipeline.jobs.json_files import canonical, write_json
from pipeline.study.cell import Cell
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG, load_yaml
from tests.helpers.made_study import metrics_of

ROOT = Path(__file__).resolve().parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores=2"]
PLAN, DRAWN = 20_000, 20_000
"""Cells that are planned, and that are tabulated and drawn."""
TINY: dict[str, Any] = {
    "study": "tiny",
    "device": "cpu",
    "models": [
        {
            "name": "m",
            "source": {
                "kind": "random",
                "architecture": "llama",
                "parameters": {
                    "hidden_size": 576,
                    "intermediate_size": 1536,
                    "num_hidden_layers": 30,
                    "num_attention_heads": 9,
                    "num_key_value_heads": 3,
                },
            },
            "d_model": 576,
            "layer": 15,
        }
    ],
    "hookpoints": ["resid"],
    "text": {"source": {"kind": "random", "documents": 300, "words": 40}, "context_length": 32},
    "dump": {
        "train_rows": 1024,
        "heldout_rows": 256,
        "rows_per_block": 256,
        "rows_per_chunk": 64,
        "slack": 0.1,
    },
    "grid": [{"variant": "gated", "width": 1152, "lambdas": [0.1]}],
    "training": {"tokens": 1024, "batch_size": 256},
    "evaluation": {"lr_contexts": 4},
}
"""A model of SmolLM2-135M's shape and next to nothing to train and to evaluate."""

Row = tuple[str, float, float, float]
"""What, wall seconds, processor seconds, largest memory of a process in MB (NaN: not counted)."""


@dataclass
class Cost:
    """Seconds of a command with its processes, and the memory of the largest of them in MB."""

    wall: float
    cpu: float
    memory: float = math.nan

    @classmethod
    def of(cls, command: list[str], folder: Path) -> Cost:
        """Run a command that must succeed."""
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        began = time.monotonic()
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
            _, status, spent = os.wait4(process.pid, 0)  # what communicate() does not tell
            process.returncode = os.waitstatus_to_exitcode(status)
            wall = time.monotonic() - began
            output.seek(0)
            if process.returncode:
                raise RuntimeError(f"{' '.join(command)[:200]} failed:\n{output.read()}")
        return cls(wall, spent.ru_utime + spent.ru_stime, spent.ru_maxrss / 1024)


def large_study(cells: int, folder: Path) -> Study:
    """The local study with ``cells`` cells, without what it does besides, and its configuration in
    ``folder``/study.yaml."""
    besides = ("recipes", "comparisons", "dial", "browser", "synthetic")
    raw = {key: value for key, value in load_yaml(DEFAULT_CONFIG).items() if key not in besides}
    lambdas = [0.05, 0.1, 0.2, 0.4, 0.8]
    sides = [{"variant": "gated", "expansion": 4}, {"variant": "sagsae_tied", "expansion": 2}]
    per_seed = len(raw["models"]) * len(raw["hookpoints"]) * len(sides) * len(lambdas)
    seeds = list(range(-(-cells // per_seed)))
    raw |= {
        "study": "large",
        "grid": [side | {"lambdas": lambdas, "seeds": seeds} for side in sides],
        "comparisons": [{"candidate": sides[1], "baseline": sides[0], "matched_l0": [64, 32]}],
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(raw))
    return Study.from_dict(raw)


def plan(folder: Path) -> Iterator[Row]:
    """A dry run, and what of it is this project's own."""
    study = large_study(PLAN, folder)
    dry_run = [*SNAKEMAKE, "--configfile", "study.yaml", "--dry-run", "--quiet", "all"]
    cost = Cost.of(dry_run, folder)
    yield f"plan {len(study.cells):,} cells", cost.wall, cost.cpu, cost.memory
    profile = folder / "plan.profile"
    Cost.of([sys.executable, "-m", "cProfile", "-o", str(profile), *dry_run[1:]], folder)
    share = own_share(profile)
    parts = cost.wall * share, cost.cpu * share
    yield f"of it this project's, imports too: {share:.0%}", *parts, math.nan


def own_share(profile: Path) -> float:
    """Part of a profile's time below calls that enter this project's modules from others'."""
    # Only `stats` has the callers; typeshed does not know it.
    stats = pstats.Stats(str(profile)).stats

    def own(function: tuple[str, int, str]) -> bool:
        return str(ROOT / "pipeline") in function[0] or function[0].startswith(str(ROOT / "Snake"))

    entered = sum(
        caller[3]
        for function, (_, _, _, _, callers) in stats.items()
        if own(function)
        for name, caller in callers.items()
        if not own(name)
    )
    return entered / sum(entry[2] for entry in stats.values())


def cell_job(study: Study, cell: Cell) -> list[str]:
    """The command of rule ``cell``."""
    return [
        *(sys.executable, "-m", "pipeline", "cell"),
        *("--train-spec", canonical(study.train_spec(cell))),
        *("--evaluate-spec", canonical(study.evaluate_spec(cell))),
        *("--train-manifest", study.manifest(cell.model, "train")),
        *("--heldout-manifest", study.manifest(cell.model, "heldout")),
        *("--baselines", study.baselines(cell.model), "--asset", study.asset(cell.model)),
        *("--device", "cpu", "--out", study.metrics(cell)),
    ]


def cell(folder: Path) -> Iterator[Row]:
    """A whole job with next to nothing to do, and the parts of its start."""
    (folder / "study.yaml").write_text(yaml.safe_dump(TINY))
    study = Study.from_dict(TINY)
    here = study.cells[0]
    options = ["--configfile", "study.yaml", "--directory", str(folder)]
    Cost.of([*SNAKEMAKE, *options, study.metrics(here)], folder)
    job = cell_job(study, here)
    cost = min((Cost.of(job, folder) for _ in range(3)), key=lambda cost: cost.cpu)
    yield "a cell of 4 steps and 256 held-out rows, whole job", cost.wall, cost.cpu, cost.memory
    model = model_folder(folder / study.asset("m"))
    steps = {
        "import PyTorch": "import torch",
        "import training": "import pipeline.cells.train",
        "import evaluation and Transformers": "import pipeline.cells.evaluate",
        "load the language model": (
            "from sagsae.activations.language_models import load_language_model; "
            f"load_language_model({str(model)!r})"
        ),
    }
    code, before = "import gc; gc.disable()", Cost(0.0, 0.0)
    for name, step in steps.items():
        code = f"{code}; {step}"
        command = [sys.executable, "-c", code]
        cost = min((Cost.of(command, folder) for _ in range(3)), key=lambda cost: cost.cpu)
        yield f"... {name}", cost.wall - before.wall, cost.cpu - before.cpu, math.nan
        before = cost


def tables(folder: Path) -> Iterator[Row]:
    """Tables, figures and report, by the workflow, of cells that lie there."""
    study = large_study(DRAWN, folder)
    rng = np.random.default_rng(0)
    for here in study.cells:
        l0 = 4 / here.lam * rng.uniform(0.9, 1.1)
        r2, dead = 0.3 + 0.1 * np.log(l0 / 20) + rng.normal(0, 0.01), rng.integers(0, here.width)
        d_model = study.models[here.model].d_model
        metrics = metrics_of(here, d_model, l0=l0, r2=float(r2), dead=int(dead))
        write_json(folder / study.metrics(here), metrics)
    rules = [
        "cells_tables",
        "claims_tables",
        "tables",
        "draw_figure",
        *study.figures,
        "figures",
        "report",
    ]
    options = ["--configfile", "study.yaml", "--directory", str(folder), "--allowed-rules", *rules]
    for target, name in ((study.table("cells.csv"), "tables"), (study.report, "figures, report")):
        cost = Cost.of([*SNAKEMAKE, *options, "--", target], folder)
        yield f"{name} of {len(study.cells):,} cells", cost.wall, cost.cpu, cost.memory


PARTS: dict[str, Callable[[Path], Iterator[Row]]] = {"plan": plan, "cell": cell, "tables": tables}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workflow")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}")
    chosen = parser.parse_args().parts or list(PARTS)
    rows: list[Row] = []
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            rows += PARTS[name](Path(folder))
    frame = pd.DataFrame(rows, columns=["", "wall s", "processor s", "MB"])
    print(frame.to_markdown(index=False, floatfmt=".2f"))


if __name__ == "__main__":
    main()
