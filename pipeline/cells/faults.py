"""Checks of cells on disk: metrics, weights, latents and training belong together."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.cells.evaluate import read_autoencoder
from pipeline.cells.run import read_trained
from pipeline.config.spelling import CellNameError
from pipeline.jobs.findings import Checked, Fault, Findings, Note, made_for, size_of
from pipeline.jobs.json_files import digest, read_json, sha256_of
from pipeline.jobs.progress import Progress
from pipeline.study.cell import Cell
from pipeline.study.metrics import CellMetrics, MadeFrom, MetricsError, read_metrics
from pipeline.study.outputs import (
    CURVE,
    LATENT_TENSORS,
    METRICS,
    STATE,
    TRAINED,
    TRAINING,
    WEIGHTS,
)
from pipeline.study.study import Study

FINISHED = "cells of the grid"
FILES = (METRICS, WEIGHTS, LATENT_TENSORS, TRAINING, CURVE)


def faults(study: Study) -> Findings:
    """Check every cell of the grid, and every other one that is there."""
    root, grid = Path(study.cells_root), set(study.cells)
    others: list[Cell] = []
    for folder in sorted(root.glob("*/*/*/*")):
        try:
            cell = Cell.from_path(folder.relative_to(root).as_posix())
        except CellNameError as error:
            yield Note(f"{folder}: no cell ({error})")
            continue
        if cell not in grid and (folder / METRICS).exists():
            others.append(cell)
    progress = Progress("verify cells", len(grid) + len(others), "cells")
    stores = {model: _store(study.manifest(model, "train")) for model in study.models}
    restored: list[Cell] = []
    strangers = [cell for cell in others if not _is_of(study, cell)]
    for done, cell in enumerate([*study.cells, *others], start=1):
        folder, known = root / cell.path, cell not in strangers
        if (folder / METRICS).exists():
            remedy = "{}" if known else f"rm -rf {shlex.quote(str(folder))}"
            yield Checked("", sum(size_of(folder / name) for name in FILES))
            try:
                metrics = read_metrics(folder / METRICS, cell)
            except MetricsError as error:
                yield Fault(folder / METRICS, error, remedy=remedy)
            else:
                if known:
                    yield from _spec_faults(study, cell, folder / METRICS, metrics.made_from)
                for name, problem in _problems(folder, cell, metrics):
                    yield Fault(folder / name, problem, folder / METRICS, remedy=remedy)
                yield Checked(FINISHED if cell in grid else "cells beside the grid")
                store = metrics.made_from.store
                if store != (stores.get(cell.model) or store):
                    restored.append(cell)
        progress.update(done)
    yield from _note(restored, "trained on other rows than the store has now")
    yield from _note(strangers, "of a model, hookpoint, variant or recipe that this study lacks")


def _note(cells: Sequence[Cell], what: str) -> Findings:
    if cells:
        yield Note(f"cells {what}: {len(cells)}, {cells[0].path} the first")


def _store(manifest: str) -> str | None:
    """Digest of the rows that a manifest names; None if it names none."""
    try:
        return read_json(manifest).get("sha256")
    except (OSError, ValueError):
        return None


def _is_of(study: Study, cell: Cell) -> bool:
    """Whether the study can make a cell, on its grid or off it."""
    try:
        study.cell_named(**cell.words)
    except CellNameError:
        return False
    return True


def _spec_faults(study: Study, cell: Cell, file: Path, found: MadeFrom) -> Findings:
    yield from made_for(file, "training", found.train, digest(study.train_spec(cell)))
    yield from made_for(file, "evaluation", found.evaluate, digest(study.evaluate_spec(cell)))


def _problems(folder: Path, cell: Cell, metrics: CellMetrics) -> Iterator[tuple[str, object]]:
    """What is wrong with the files beside the metrics: name and problem."""
    made_from = metrics.made_from
    digests = {WEIGHTS: made_from.weights_sha256, LATENT_TENSORS: made_from.latents_sha256}
    absent = [name for name in (*digests, TRAINING) if not (folder / name).exists()]
    for name in absent:
        yield name, f"missing, but {METRICS} is there"
    for name, expected in digests.items():
        if name in absent:
            continue
        if (found := sha256_of(folder / name)) != expected:
            yield name, f"its sha256 is {found}, {METRICS} was written beside {expected}"
        elif name == WEIGHTS:
            try:
                read_autoencoder(folder / name, cell)
            except (ImportError, ValueError, RuntimeError) as error:
                yield name, error
    if TRAINING not in absent:
        expected_record = metrics.training.model_dump()
        try:
            record = read_json(folder / TRAINING)
        except ValueError as error:
            yield TRAINING, error
        else:
            if {key: record.get(key) for key in expected_record} != expected_record:
                yield TRAINING, f"of another training than {METRICS}"
            yield from _curve_problems(folder / CURVE, record.get("curve_sha256"))
    state = folder / STATE
    kept = read_trained(state).get("weights_sha256")
    if (state / TRAINED).exists() and kept != made_from.weights_sha256:
        yield f"{STATE}/{TRAINED}", f"damaged, or it keeps no weights or others than {METRICS}"


def _curve_problems(curve: Path, expected: str | None) -> Iterator[tuple[str, object]]:
    """What is wrong with a curve; earlier versions wrote none, and their records name none."""
    if expected is None:
        return
    if not curve.exists():
        yield CURVE, f"missing, but {TRAINING} is there"
    elif (found := sha256_of(curve)) != expected:
        yield CURVE, f"its sha256 is {found}, {TRAINING} was written beside {expected}"
