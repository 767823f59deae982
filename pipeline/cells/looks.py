"""Trained cells as later jobs see them: their weights, held-out rows, locks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.jobs.cache import using
from pipeline.jobs.json_files import sha256_of
from pipeline.jobs.progress import Progress
from pipeline.jobs.stage import Device, device_of, locked
from pipeline.study.cell import Cell
from pipeline.study.looks import LookSpec
from pipeline.study.metrics import read_all
from pipeline.study.outputs import LATENT_TENSORS, METRICS, WEIGHTS
from pipeline.study.places import Place
from sagsae.activations.store import Store
from sagsae.activations.stream import iterate
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.weights import class_of, load

# Rows read at once.
ROWS = 8192


class EvaluationError(ValueError):
    """A cell that cannot be evaluated; the message says why and what to do."""


def read_autoencoder(weights: Path, cell: Cell) -> Autoencoder:
    """The autoencoder of a cell; raises EvaluationError or ValueError for any other file."""
    sae = load(weights, class_of(cell.variant) if ":" in cell.variant else None)
    name = sae.provenance.get("foreign", {}).get("variant", sae.name)
    if (name, sae.width) != (cell.variant, cell.width):
        raise EvaluationError(
            f"{weights}: holds {name} of width {sae.width}, the cell is {cell.variant} of "
            f"width {cell.width}; delete the cell's folder and train it again"
        )
    return sae


class MeasuredCells:
    """Some cells below a folder, each with its metrics and the weights that they are of.

    Args:
        root: Folder of all cells.
        cells: Finished ones.
        device: Where their autoencoders compute.
    """

    def __init__(self, root: Path, cells: Iterable[Cell], device: torch.device):
        self.metrics, self.device, self._root = read_all(root, cells), device, root

    def autoencoder(self, cell: Cell) -> Autoencoder:
        """The autoencoder of a cell; raises EvaluationError for weights of other metrics."""
        weights = self._file(cell, WEIGHTS, self.metrics[cell].made_from.weights_sha256)
        return read_autoencoder(weights, cell).to(self.device)

    def firings(self, cell: Cell) -> Tensor:
        """[2, H] int64: on how many held-out rows each latent fires, with either sign; raises
        EvaluationError as ``autoencoder``."""
        file = self._file(cell, LATENT_TENSORS, self.metrics[cell].made_from.latents_sha256)
        latents = load_file(file)
        return torch.stack([latents["n_pos"], latents["n_neg"]])

    def _file(self, cell: Cell, name: str, expected: str) -> Path:
        folder = self._root / cell.path
        file = folder / name
        if not file.exists() or sha256_of(file) != expected:
            raise EvaluationError(
                f"{file}: not there, or not the one that its metrics are of: delete "
                f"{folder / METRICS} and run snakemake again"
            )
        return file


@contextmanager
def looking_into(
    spec: LookSpec, cells_root: Path, device: Device, out: Path, *records: Path
) -> Iterator[MeasuredCells]:
    """Hold what a job makes, and what it reads of the cache, and give the cells that it looks into.

    Args:
        spec: The specification of the job.
        cells_root: Folder of all cells.
        device: Where to compute.
        out: The file that the job makes.
        records: Records of what it reads.
    """
    with locked(out.parent, out.stem), using(*records):
        yield MeasuredCells(cells_root, spec.metrics_of, device_of(device))


def rows_of(store: Store, place: Place, device: torch.device, label: str) -> Iterator[Tensor]:
    """A store's rows at a place on the device, [B, d] each, of a transcoder's [B, d + d_out];
    progress goes under a label."""
    progress, done = Progress(label, store.n_rows, "tokens"), 0
    for batch in iterate(store, place.reads, ROWS, place.predicts if place.target else ""):
        yield batch.to(device)
        done += len(batch)
        progress.update(done)
