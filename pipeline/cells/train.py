"""Stage: train the autoencoder of one cell on the shuffled stream of its hookpoint."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pipeline.activations.manifests import open_store
from pipeline.jobs.json_files import digest, read_json
from pipeline.jobs.progress import Progress
from pipeline.study.cell import Cell
from sagsae.activations import ActivationStream
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.storage import build
from sagsae.training.schedules import Recipe
from sagsae.training.trainer import Trainer


def recipe_of(spec: dict[str, Any]) -> Recipe:
    """The library's recipe for a cell."""
    training = dict(spec["training"])
    training.pop("group_chunks")
    steps = training.pop("tokens") // training["batch_size"]
    return Recipe(steps=steps, lam=spec["cell"]["lam"], **training)


@contextmanager
def opened_trainer(
    spec: dict[str, Any],
    manifest: Path,
    device: torch.device,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> Iterator[Trainer]:
    """The trainer of a cell before its first step, on the stream of its hookpoint.

    Args:
        spec: ``Study.train_spec``.
        manifest: Of the training store.
        device: Where to compute.
        progress: As `Trainer` calls it.
    """
    cell, recipe = Cell(**spec["cell"]), recipe_of(spec)
    store = open_store(manifest, spec["store"])
    found = store.statistics(cell.hookpoint)
    sae = build(cell.variant, spec["d_model"], cell.width, found.scale)
    sae.initialise(torch.from_numpy(found.mean * found.scale), cell.seed, recipe)
    sae.provenance = {
        **spec["cell"],
        "layer": store.config.provenance.get("layer"),
        "recipe": spec["training"],
        "store": read_json(manifest)["seal"],
    }
    sae.to(device)
    with ActivationStream(
        store,
        cell.hookpoint,
        recipe.batch_size,
        cell.seed,
        group_chunks=spec["training"]["group_chunks"],
        device=device,
    ) as stream:
        yield Trainer(sae, stream, recipe, progress=progress)


def train_cell(
    spec: dict[str, Any],
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
    cell, recipe = Cell(**spec["cell"]), recipe_of(spec)
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
