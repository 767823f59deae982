"""How the cores are best split into training jobs and threads: the real cell job, side by side.

    python -m benchmarks.threads [--cores 2] [--rounds 3] [--steps 120]

Every round runs each split once: all jobs of the split at the same time, each with its threads.
The throughput of a split is the sum of the tokens/s that its jobs record. The first row is what
rule `cell` does: one thread per job.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import yaml

from benchmarks.workflow import ROOT, SNAKEMAKE, TINY, Cost, cell_job
from pipeline.jobs.json_files import read_json
from pipeline.study.cell import Cell
from pipeline.study.study import Study


def study_of(jobs: int, steps: int) -> dict[str, Any]:
    """The widths and the batch of the local study, a seed a job."""
    grid = {"variant": "gated", "width": 2304, "lambdas": [0.1], "seeds": list(range(jobs))}
    dump = TINY["dump"] | {"train_rows": 8192, "rows_per_block": 2048, "rows_per_chunk": 1024}
    dump |= {"heldout_rows": 2048}
    text = TINY["text"] | {"source": {"kind": "random", "documents": 1000, "words": 60}}
    training = {"tokens": 1024 * steps, "batch_size": 1024}
    return TINY | {"grid": [grid], "dump": dump, "text": text, "training": training}


def throughput(study: Study, cells: list[Cell], threads: int, folder: Path) -> float:
    """Tokens/s of cells that train at the same time, each with some threads."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
    running = []
    for cell in cells:
        (folder / study.metrics(cell)).parent.joinpath(".state/trained.json").unlink(True)
        job = cell_job(study, cell)
        with open(os.devnull, "w") as nowhere:
            running.append(subprocess.Popen(job, cwd=folder, env=environment, stderr=nowhere))
    failed = [job for job in running if job.wait()]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(cells)} jobs failed")
    found = [read_json(folder / study.cell_file(cell, "training.json")) for cell in cells]
    assert {record["threads"] for record in found} == {threads}
    return sum(record["tokens_per_second"] for record in found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=120)
    given = parser.parse_args()
    splits = [n for n in range(given.cores, 0, -1) if given.cores % n == 0]
    rates: dict[int, list[float]] = {jobs: [] for jobs in splits}
    with tempfile.TemporaryDirectory() as name:
        folder, raw = Path(name), study_of(given.cores, given.steps)
        (folder / "study.yaml").write_text(yaml.safe_dump(raw))
        study = Study.from_dict(raw)
        options = ["--configfile", "study.yaml", "--directory", name, study.baselines("m")]
        Cost.of([*SNAKEMAKE, *options], folder)
        for number in range(given.rounds + 1):
            for jobs in splits:
                rate = throughput(study, study.cells[:jobs], given.cores // jobs, folder)
                if number:  # the first round compiles
                    rates[jobs].append(rate)
    best = max(median(rate) for rate in rates.values())
    rows = [
        (jobs, given.cores // jobs, median(rate), median(rate) / best)
        for jobs, rate in rates.items()
    ]
    frame = pd.DataFrame(rows, columns=["jobs", "threads each", "tokens/s, all", "of the best"])
    print(frame.to_markdown(index=False, floatfmt=(".0f", ".0f", ",.0f", ".2f")))


if __name__ == "__main__":
    main()
