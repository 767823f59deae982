"""Stage: the weights of several cells, trained on one stream of batches.

Each cell's weights are kept in its ``.state`` folder, as its own job keeps them. That job, which
comes next, finds them there and evaluates them. A cell that failed here is trained by its own job,
alone, from its last checkpoint, and fails there with its own message if it fails again.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cells.run import drop_checkpoints, keep, make_way, read_trained
from pipeline.jobs.json_files import digest, write_json
from pipeline.jobs.progress import say
from pipeline.jobs.stage import Device, device_of, locked
from pipeline.study.outputs import CHECKPOINT, SHARED, STATE
from pipeline.study.specs import StreamSpec, TrainSpec
from pipeline.tracking.live import Live, tracked

if TYPE_CHECKING:
    import torch


def main(
    spec: StreamSpec,
    cells_root: Path,
    train_manifest: Path,
    out: Path,
    checkpoint_seconds: float = 300.0,
    device: Device = "auto",
) -> None:
    """Train those that are not trained yet; leave the rest as it is.

    Args:
        spec: TrainSpecs of the cells as JSON, or @ and a file with it
        cells_root: folder of all cells
        train_manifest: manifest of the training store
        out: what says that the cells are trained, to write
        checkpoint_seconds: seconds between two checkpoints (default: 300)
        device: where to compute; auto: a GPU where there is one
    """
    place = device_of(device)
    states = {one.cell.path: cells_root / one.cell.path / STATE for one in spec.cells}
    with ExitStack() as held:
        for state in states.values():
            held.enter_context(locked(state))
        untrained = [one for one in spec.cells if not _is_trained(one, states[one.cell.path])]
        live = held.enter_context(tracked())
        failed = _train(untrained, states, train_manifest, place, checkpoint_seconds, live)
        for one in spec.cells:
            if (path := one.cell.path) not in failed:
                note = {"together": out.as_posix(), "train": digest(one)}
                write_json(states[path] / SHARED, note)
        write_json(out, {"cells": [path for path in states if path not in failed]})


def _is_trained(spec: TrainSpec, state: Path) -> bool:
    return read_trained(state).get("made_from", {}).get("train") == digest(spec)


def _train(
    specs: list[TrainSpec],
    states: dict[str, Path],
    manifest: Path,
    device: torch.device,
    every_seconds: float,
    live: Live,
) -> dict[str, Exception]:
    """Train cells and keep their weights; what ended those that failed."""
    from pipeline.cells.train import train_cells
    from sagsae.training.trainer import NonFiniteLoss

    if not specs:
        return {}
    checkpoints = {}
    for one in specs:
        state, key = states[one.cell.path], digest(one)
        make_way(state, key)
        checkpoints[one.cell.path] = state / CHECKPOINT.format(key=key)
        live.open(one)
    done, failed = train_cells(specs, manifest, device, checkpoints, every_seconds, live)
    for path, (sae, record) in done.items():
        keep(sae, record, states[path])
        drop_checkpoints(states[path])
    strange = [error for error in failed.values() if not isinstance(error, NonFiniteLoss)]
    if strange and not done:
        raise strange[0]  # nothing could be trained: it is not one cell's fault
    for path, error in failed.items():
        say(f"warning: {path}: {error}. The others went on; its own job trains it alone.")
    return failed
