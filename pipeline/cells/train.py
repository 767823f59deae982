"""Stage: train the autoencoder of one cell on the shuffled stream of its hookpoint."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch

from pipeline.activations.manifests import open_store
from pipeline.jobs.json_files import digest, read_json
from pipeline.jobs.progress import Progress
from pipeline.study.specs import TrainSpec
from sagsae import api
from sagsae.autoencoders.base import Autoencoder
from sagsae.memory import needs_memory
from sagsae.schedules import Recipe
from sagsae.training.trainer import Trainer


def recipe_of(spec: TrainSpec) -> Recipe:
    """The library's recipe for a cell."""
    settings = spec.training.model_dump(exclude={"group_chunks", "tokens"})
    return Recipe(steps=spec.training.steps, lam=spec.cell.lam, **settings)


def opened_trainer(
    spec: TrainSpec,
    manifest: Path,
    device: torch.device,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> AbstractContextManager[Trainer]:
    """The trainer of a cell before its first step, on the stream of its hookpoint.

    Args:
        spec: ``Study.train_spec``.
        manifest: Of the training store.
        device: Where to compute.
        progress: As `Trainer` calls it.
    """
    cell = spec.cell
    return api.opened_trainer(
        open_store(manifest, spec.store),
        cell.hookpoint,
        cell.variant,
        cell.width,
        recipe_of(spec),
        seed=cell.seed,
        group_chunks=spec.training.group_chunks,
        device=device,
        progress=progress,
        origin={
            "model": cell.model,
            "store": read_json(manifest)["seal"],
            **({"recipe_name": cell.recipe} if cell.recipe else {}),
        },
    )


@needs_memory("the autoencoder")
def train_cell(
    spec: TrainSpec,
    manifest: Path,
    device: torch.device,
    checkpoint: Path,
    every_seconds: float = 300.0,
) -> tuple[Autoencoder, dict[str, Any]]:
    """Train, or finish training, the cell of ``spec``.

    Args:
        spec: ``Study.train_spec``.
        manifest: Of the training store.
        device: Where to compute.
        checkpoint: Where the state is kept while training.
        every_seconds: Wall time between two checkpoints.

    Returns:
        The autoencoder on the CPU, and a record: ``training`` (the section of that name in
        metrics.json), ``made_from`` (digests of the specification and of the store) and
        ``course`` (loss terms over the steps).
    """
    cell, recipe = spec.cell, recipe_of(spec)
    tokens = recipe.steps * recipe.batch_size
    progress = Progress(f"train {cell.path}", tokens, "tokens")

    def report(step: int, row: dict[str, float]) -> None:
        loss = f"loss {row['reconstruction']:.4f}, L0 {row['l0']:.1f}"
        progress.update((step + 1) * recipe.batch_size, loss)

    with opened_trainer(spec, manifest, device, report) as trainer, stopped_by_signals(trainer):
        history = trainer.run(checkpoint, every_seconds)
    training = {
        "steps": recipe.steps,
        "tokens": tokens,
        "seconds": history.seconds,
        "tokens_per_second": tokens / history.seconds,
        "data_wait_seconds": history.data_wait_seconds,
        "peak_memory_mb": _peak_memory_mb(device),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "matmul_dtype": str(trainer.dtype).removeprefix("torch."),
    }
    course = {
        "history": history.rows,
        "latents_reset": history.resets,
        "sparse_steps": trainer.compute.sparse_steps,
    }
    made_from = {"train": digest(spec), "store": read_json(manifest)["seal"]}
    record = {"training": training, "made_from": made_from, "course": course}
    return trainer.sae.to("cpu"), record


@contextmanager
def stopped_by_signals(trainer: Trainer) -> Iterator[None]:
    """Let SIGTERM (preemption) and SIGINT end training with a checkpoint; a second one kills."""

    def stop(number: int, _: object) -> None:
        trainer.stop_requested = True
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _peak_memory_mb(device: torch.device) -> float:
    """Peak of the GPU's allocated memory, or of the process's resident memory on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
