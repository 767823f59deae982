"""Train an autoencoder on the shuffled stream of its hookpoint."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pipeline.data.manifests import open_store
from pipeline.jobs.json_files import digest, read_json
from pipeline.jobs.progress import Progress
from pipeline.study.specs import TrainSpec
from sagsae import api
from sagsae.activations.rows import rows_of
from sagsae.activations.store import Store
from sagsae.autoencoders.base import Autoencoder
from sagsae.training.trainer import Trainer, stopped_by_signals

Tell = Callable[[Sequence[dict[str, float]]], None]


# A finished autoencoder, on the CPU, and its record: ``training`` (the section of that name in
# metrics.json), ``made_from`` (digests of the specification and of the store) and ``course`` (loss
# terms over the steps).
Trained = tuple[Autoencoder, dict[str, Any]]


@contextmanager
def opened_trainer(
    spec: TrainSpec, manifest: Path, device: torch.device, tell: Tell | None = None
) -> Iterator[Trainer]:
    """The trainer of a cell before its first step.

    Args:
        spec: ``Study.train_spec``.
        manifest: Of the training store.
        device: Where to compute.
        tell: Is called with new rows of the curve.
    """
    cell, store = spec.cell, open_store(manifest, spec.store)
    if unique := spec.training.unique_rows:
        store = Store.open(store.storage, rows=unique)
    named, place = {"recipe_name": cell.recipe} if cell.recipe else {}, cell.place
    with api.opened_trainer(
        rows_of(store, place.reads, place.predicts if place.target else ""),
        cell.variant,
        cell.width,
        spec.recipe,
        seed=cell.seed,
        device=device,
        origin={"model": cell.model, "store": read_json(manifest)["sha256"], **named},
    ) as trainer:
        total = trainer.recipe.steps * trainer.recipe.batch_size
        progress, told = Progress(f"train {cell.path}", total, "tokens"), 0

        def report(_: int, row: dict[str, float]) -> None:
            nonlocal told
            progress.update(row["tokens"], f"loss {row['reconstruction']:.4f}, L0 {row['l0']:.1f}")
            rows = trainer.history.rows  # those before the checkpoint that it continues from, too
            if tell is not None:
                tell(rows[told:])
            told = len(rows)

        trainer.progress = report
        yield trainer


def train_cell(
    spec: TrainSpec,
    manifest: Path,
    device: torch.device,
    checkpoint: Path,
    every_seconds: float = 300.0,
    tell: Tell | None = None,
) -> Trained:
    """Train, or finish training, the cell of ``spec``.

    Args:
        spec: ``Study.train_spec``.
        manifest: Of the training store.
        device: Where to compute.
        checkpoint: Where the state is kept while training.
        every_seconds: Wall time between two checkpoints.
        tell: Is called with new rows of the curve.
    """
    opened = opened_trainer(spec, manifest, device, tell)
    with opened as trainer, stopped_by_signals(trainer):
        trainer.run(checkpoint, every_seconds)
    history, tokens = trainer.history, trainer.step * trainer.recipe.batch_size
    training = {
        "steps": trainer.step,
        "tokens": tokens,
        "seconds": history.seconds,
        "tokens_per_second": tokens / history.seconds,
        "data_wait_seconds": history.data_wait_seconds,
        "peak_memory_mb": _peak_memory_mb(trainer.device),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "matmul_dtype": str(trainer.dtype).removeprefix("torch."),
    }
    course = {
        "history": history.rows,
        "latents_reset": history.resets,
        "diverged": history.diverged,
        **({"calibration": history.calibration} if history.calibration else {}),
    }
    return trainer.sae.to("cpu"), record_of(spec, manifest, training, course)


def record_of(
    spec: TrainSpec, manifest: Path, training: dict[str, Any], course: dict[str, Any]
) -> dict[str, Any]:
    """The record of a finished autoencoder."""
    made_from = {"train": digest(spec), "store": read_json(manifest)["sha256"]}
    return {"training": training, "made_from": made_from, "course": course}


def _peak_memory_mb(device: torch.device) -> float:
    """Peak of the GPU's allocated memory, or of the process's resident memory on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
