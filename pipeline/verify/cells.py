"""Checks of cells: metrics, weights, firing counts and the course of training belong together."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline.config.spelling import CellNameError
from pipeline.config.study_config import describe
from pipeline.jobs.json_files import digest, sha256_of
from pipeline.jobs.progress import Progress
from pipeline.study.cell import Cell
from pipeline.study.metrics import CellMetrics
from pipeline.study.outputs import LATENT_TENSORS, METRICS, TRAINING, WEIGHTS
from pipeline.study.study import Study
from pipeline.verify.audit import Audit, size_of
from pipeline.verify.inputs import Seals
from sagsae.autoencoders.storage import load
from sagsae.evaluation import histograms
from sagsae.files import read_signed_json

STATE = ".state"
FINISHED = "cells of the grid"


def check_cells(audit: Audit, seals: Seals) -> None:
    """Every cell of the grid, and every other one that is there."""
    root = Path(audit.study.path("cells"))
    others = _cells_beside_the_grid(audit, root)
    progress = Progress("verify cells", len(audit.study.cells) + len(others), "cells")
    restored: list[Cell] = []
    for done, cell in enumerate([*audit.study.cells, *others], start=1):
        kind = FINISHED if done <= len(audit.study.cells) else "cells beside the grid"
        metrics = CellCheck(audit, root / cell.path, cell).run()
        if metrics is not None:
            audit.checked[kind] += 1
            store = metrics.made_from.store
            if store != seals.get((cell.model, "train"), store):
                restored.append(cell)
        progress.update(done)
    strangers = [cell for cell in others if not is_of(audit.study, cell)]
    _note(audit, restored, "trained on a store with another seal than the one there is now")
    _note(audit, strangers, "of a model, hookpoint or variant that this study does not have")


def _note(audit: Audit, cells: Sequence[Cell], what: str) -> None:
    if cells:
        audit.notes.append(f"cells {what}: {len(cells)}, {cells[0].path} the first")


def _cells_beside_the_grid(audit: Audit, root: Path) -> list[Cell]:
    grid, found = set(audit.study.cells), []
    for folder in sorted(root.glob("*/*/*/*")):
        try:
            cell = Cell.from_path(folder.relative_to(root).as_posix())
        except CellNameError as error:
            audit.notes.append(f"{folder}: no cell ({error})")
            continue
        if cell not in grid and (folder / METRICS).exists():
            found.append(cell)
    return found


def is_of(study: Study, cell: Cell) -> bool:
    """Whether the study can make a cell, on its grid or off it."""
    text = {name: str(value) for name, value in cell.as_dict().items()}
    try:
        study.cell_named(**text | {"lam": format(cell.lam, "g")})
    except CellNameError:
        return False
    return True


class CellCheck:
    """The check of one cell's folder."""

    def __init__(self, audit: Audit, folder: Path, cell: Cell) -> None:
        self.audit, self.folder, self.cell = audit, folder, cell
        self.known = is_of(audit.study, cell)
        again = audit.command(folder / METRICS)
        self.again = again if self.known else f"rm -rf {shlex.quote(str(folder))}"

    def run(self) -> CellMetrics | None:
        """Check it; None if it was not evaluated yet or its metrics cannot be read."""
        if not (self.folder / METRICS).exists():
            return None
        names = (METRICS, WEIGHTS, LATENT_TENSORS, TRAINING)
        self.audit.size += sum(size_of(self.folder / name) for name in names)
        metrics = self._metrics()
        if metrics is not None:
            self._weights(metrics)
            self._latents(metrics)
            self._training(metrics)
            self._state(metrics)
        return metrics

    def _fault(self, name: str, problem: object) -> None:
        self.audit.fault(self.folder / name, problem, self.again)

    def _metrics(self) -> CellMetrics | None:
        try:
            metrics = CellMetrics.model_validate(read_signed_json(self.folder / METRICS))
        except ValidationError as error:
            self._fault(METRICS, describe(error, "not metrics of this version"))
            return None
        except (OSError, ValueError) as error:
            self._fault(METRICS, error)
            return None
        if metrics.cell.model_dump() != self.cell.as_dict():
            named = Cell(**metrics.cell.model_dump())
            self._fault(METRICS, f"metrics of another cell: the file says {named.path}")
            return None
        if self.known:
            study, file = self.audit.study, self.folder / METRICS
            train, evaluate = study.train_spec(self.cell), study.evaluate_spec(self.cell)
            self.audit.same(file, "training", metrics.made_from.train, digest(train))
            self.audit.same(file, "evaluation", metrics.made_from.evaluate, digest(evaluate))
        return metrics

    def _weights(self, metrics: CellMetrics) -> None:
        if not self._is_measured(WEIGHTS, metrics.made_from.weights_sha256):
            return
        try:
            sae = load(self.folder / WEIGHTS)
        except (ImportError, ValueError, RuntimeError) as error:
            self._fault(WEIGHTS, error)
            return
        found = sae.name, sae.width, sae.d
        expected = self.cell.variant, self.cell.width, metrics.d_model
        if found != expected:
            self._fault(WEIGHTS, f"{found} where the cell has {expected} (variant, width, d_model)")

    def _latents(self, metrics: CellMetrics) -> None:
        if not self._is_measured(LATENT_TENSORS, metrics.made_from.latents_sha256):
            return
        try:
            tensors = load_file(self.folder / LATENT_TENSORS)
        except SafetensorError as error:
            self._fault(LATENT_TENSORS, f"cannot be read ({error})")
            return
        found = {name: (tuple(value.shape), value.dtype) for name, value in tensors.items()}
        width = self.cell.width
        sampled = min(histograms.LATENTS, width - metrics.dead_latents)
        expected = {
            **dict.fromkeys(("n_pos", "n_neg"), ((width,), torch.int64)),
            **dict.fromkeys(("slope_pos", "slope_neg"), ((width,), torch.float32)),
            "histogram_latents": ((sampled,), torch.int64),
            "histogram_edges": ((sampled, histograms.BINS + 1), torch.float64),
            "histogram_counts": ((sampled, histograms.BINS), torch.int64),
        }
        if found != expected:
            self._fault(LATENT_TENSORS, f"{found} where the cell has {expected}")

    def _is_measured(self, name: str, expected: str) -> bool:
        """Whether a file is the one that the metrics were written beside."""
        if not (self.folder / name).exists():
            self._fault(name, f"missing, but {METRICS} is there")
            return False
        found = sha256_of(self.folder / name)
        if found != expected:
            self._fault(name, f"its sha256 is {found}, {METRICS} was written beside {expected}")
        return found == expected

    def _training(self, metrics: CellMetrics) -> None:
        expected = metrics.training.model_dump()
        if not (self.folder / TRAINING).exists():
            self._fault(TRAINING, f"missing, but {METRICS} is there")
            return
        found = self.audit.read(self.folder / TRAINING, *expected, remedy=self.again)
        if found is not None and any(found[key] != value for key, value in expected.items()):
            self._fault(TRAINING, f"of another training than {METRICS}")

    def _state(self, metrics: CellMetrics) -> None:
        """What a later job finds of this training."""
        record, kept = f"{STATE}/trained.json", f"{STATE}/{WEIGHTS}"
        if not (self.folder / record).exists():
            return
        found = self.audit.read(self.folder / record, "weights_sha256", remedy=self.again)
        if found is None:
            return
        expected = metrics.made_from.weights_sha256
        if found["weights_sha256"] != expected:
            self._fault(record, f"of other weights than {METRICS}")
        elif self._differs(self.folder / kept, expected):
            self._fault(kept, f"missing, or other weights than {METRICS}")

    def _differs(self, kept: Path, expected: str) -> bool:
        weights = self.folder / WEIGHTS
        if kept.exists() and weights.exists() and kept.samefile(weights):
            return False  # the same file was checked, and reported, already
        return not kept.exists() or sha256_of(kept) != expected
