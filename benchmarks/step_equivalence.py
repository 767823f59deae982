"""Does a study with the fast step give what it gives with the plain step? R2 and L0 of both.

    python -m benchmarks.step_equivalence [--configfile workflow/configs/local.yaml] [--seeds 3]

Needs the study's stores (`make results`). For every sweep, the cell of the middle lambda is trained
by its own recipe: with `CpuStep` from several seeds, and with `Step` from the first of them. All
are evaluated on the held-out rows. The two steps round differently, so a gate near its threshold
may open in one and not in the other. The effect on a result is compared with the spread of seeds.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from itertools import chain, groupby
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from benchmarks.interleaved import table
from benchmarks.ours import plain
from pipeline.cells.train import opened_trainer
from pipeline.data.manifests import open_store
from pipeline.study.cell import Cell
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG
from sagsae.activations.stream import iterate
from sagsae.evaluation.metrics import evaluate_reconstruction

ROWS = 512  # evaluated at once
METRICS = {"R2": ".4f", "L0": ".2f"}
Result = tuple[float, float]
"""R2 and L0."""


def middle_cells(cells: list[Cell]) -> list[Cell]:
    """Of every sweep, the cell of the middle lambda; of several seeds the lowest."""

    def sweep(cell: Cell) -> tuple[str, str, str, int]:
        return cell.model, cell.hookpoint, cell.variant, cell.width

    sweeps = [list(found) for _, found in groupby(sorted(cells), sweep)]
    lambdas = [sorted({cell.lam for cell in found}) for found in sweeps]
    return [
        next(cell for cell in found if cell.lam == lams[(len(lams) - 1) // 2])
        for found, lams in zip(sweeps, lambdas, strict=True)
    ]


def trained(configfile: Path, cell: Cell, fast: bool) -> Result:
    """R2 and L0 on the held-out store after training, on one thread as rule `cell` has it."""
    torch.set_num_threads(1)
    study = Study.load(configfile)
    manifest = study.manifest(cell.model, "train")
    heldout, made_for = study.manifest(cell.model, "heldout"), study.stores[cell.model, "heldout"]
    spec, cpu = study.train_spec(cell), torch.device("cpu")
    with opened_trainer(spec, Path(manifest), cpu) as run:
        (run if fast else plain(run)).run()
    rows = iterate(open_store(Path(heldout), made_for), cell.hookpoint, ROWS)
    quality = evaluate_reconstruction(run.sae, rows)
    return quality.r2, quality.l0


def results(
    configfile: Path, cells: list[Cell], seeds: int, plain_seeds: int
) -> dict[tuple[Cell, bool], list[Result]]:
    """Results by cell and step (fast or not), seed by seed; a process a core."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        asked = {
            (cell, fast): [
                pool.submit(trained, configfile, replace(cell, seed=cell.seed + k), fast)
                for k in range(count)
            ]
            for fast, count in ((False, plain_seeds), (True, seeds))
            for cell in cells
        }
        trainings = list(chain.from_iterable(asked.values()))
        for done, training in enumerate(as_completed(trainings), 1):
            training.result()  # what failed ends all
            print(f"{done} of {len(trainings)} trainings", file=sys.stderr)
    return {key: [training.result() for training in some] for key, some in asked.items()}


def comparison(cells: list[Cell], found: dict[tuple[Cell, bool], list[Result]]) -> str:
    """One row per cell: first seed of both steps, their difference, and the spread of seeds."""
    fast = np.array([found[cell, True] for cell in cells])
    slow = np.array([found[cell, False] for cell in cells])
    gaps, spread = fast[:, : slow.shape[1]] - slow, fast.std(axis=1, ddof=1)
    headings = ["cell"]
    for name in METRICS:
        headings += [f"{name}, fast", "plain", "fast less plain", "SD of seeds"]
    rows = []
    for i, cell in enumerate(cells):
        row = [cell.path]
        for m, how in enumerate(METRICS.values()):
            row += [f"{fast[i, 0, m]:{how}}", f"{slow[i, 0, m]:{how}}"]
            row += [f"{gaps[i, 0, m]:+.1e}", f"{spread[i, m]:.1e}"]
        rows.append(row)
    lines = [table(headings, rows), ""]
    for m, name in enumerate(METRICS):
        gap = gaps[..., m].ravel()
        error = gap.std(ddof=1) / np.sqrt(len(gap))
        # Two runs from different seeds differ by sqrt(2) standard deviations.
        noise = np.sqrt(2 * np.mean(spread[:, m] ** 2))
        lines.append(
            f"{name}: fast less plain {gap.mean():+.1e} (standard error {error:.1e}) over "
            f"{len(gap)} pairs, root mean square {np.sqrt(np.mean(gap**2)):.1e}; "
            f"two seeds differ by {noise:.1e}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", type=Path, default=DEFAULT_CONFIG)
    parser.add_argument("--seeds", type=int, default=3, help="with the fast step")
    parser.add_argument("--plain-seeds", type=int, default=1, help="of them with the plain one")
    args = parser.parse_args()
    if not 1 <= args.plain_seeds <= args.seeds or args.seeds < 2:
        parser.error("give at least two seeds, and at most as many plain ones")
    cells = middle_cells(Study.load(args.configfile).cells)
    print(comparison(cells, results(args.configfile, cells, args.seeds, args.plain_seeds)))


if __name__ == "__main__":
    main()
