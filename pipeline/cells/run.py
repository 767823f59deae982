"""Stage: one cell, trained and then evaluated in one job, so that forcing its metrics retrains it.

Weights are kept in the cell's ``.state`` folder as well, with the digest of what they were trained
from. A job that finds weights of the same training which were not evaluated this way yet (the
evaluation failed, or its settings changed) evaluates them again and trains nothing. Nor does one
that finds the work of an orphan, a job that outlived the workflow run that had started it. Weights
that another library has trained are read anew by every job.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cells.trackers import tracked
from pipeline.jobs.cache import using
from pipeline.jobs.json_files import digest, read_json, sha256_of, write_json
from pipeline.jobs.stage import Device, device_of, link_or_copy, locked, run_is_gone
from pipeline.study import outputs
from pipeline.study.curves import curve_content
from pipeline.study.specs import EvaluateSpec, TrainSpec
from sagsae.files import whole_file, write_atomic

if TYPE_CHECKING:
    from sagsae.autoencoders.base import Autoencoder

# Files of a finished cell.
MADE = (outputs.METRICS, outputs.WEIGHTS, outputs.TRAINING, outputs.CURVE, outputs.LATENT_TENSORS)


def main(
    train_spec: TrainSpec,
    evaluate_spec: EvaluateSpec,
    train_manifest: Path,
    heldout_manifest: Path,
    out: Path,
    baselines: Path | None = None,
    asset: Path | None = None,
    checkpoint_seconds: float = 300.0,
    device: Device = "auto",
) -> None:
    """Train unless there is nothing to train, evaluate, write the metrics last.

    Args:
        train_spec: TrainSpec as JSON
        evaluate_spec: EvaluateSpec as JSON
        train_manifest: manifest of the training store
        heldout_manifest: manifest of the held-out store
        out: metrics.json of the cell, to write
        baselines: baselines JSON of the model; none where there is no language model
        asset: asset.json of the model; none likewise
        checkpoint_seconds: seconds between two checkpoints (default: 300)
        device: where to compute; auto: a GPU where there is one
    """
    folder, state = out.parent, out.parent / outputs.STATE
    key, evaluated_by = digest(train_spec), digest(evaluate_spec)
    with (
        locked(state) as waited,
        locked(folder),
        using(*filter(None, (train_manifest, heldout_manifest, baselines, asset))),
        tracked(train_spec) as tell,
    ):
        record, place = read_trained(state), device_of(device)
        same = record.get("made_from", {}).get("train") == key and train_spec.source is None
        evaluated = record.get("evaluated") == evaluated_by
        # Of an orphan nobody has noted the outputs: that they are asked for is no demand to train.
        adopted = waited or record.get("orphaned", False)
        if same and evaluated and adopted and all((folder / name).exists() for name in MADE):
            write_json(state / outputs.TRAINED, record | {"orphaned": run_is_gone()})
            return  # another process did it all
        if not same or (evaluated and not adopted):
            checkpoint = state / outputs.CHECKPOINT.format(key=key)
            (state / outputs.TRAINED).unlink(missing_ok=True)
            drop_checkpoints(state, but=checkpoint.name)
            if train_spec.source is None:
                from pipeline.cells.train import train_cell

                each = checkpoint_seconds
                trained = train_cell(train_spec, train_manifest, place, checkpoint, each, tell)
            else:
                from pipeline.cells.foreign import take_cell

                trained = take_cell(train_spec, train_manifest)
            record = keep(*trained, state)
        drop_checkpoints(state)  # those of a job that was killed before it could, too
        kept = state / outputs.WEIGHTS
        link_or_copy(kept, folder / outputs.WEIGHTS)
        write_course(folder, train_spec, record)
        from pipeline.cells.evaluate import evaluate_cell  # no training needs it

        metrics, latents = evaluate_cell(
            evaluate_spec, train_spec.cell, record, kept, heldout_manifest, baselines, asset, place
        )
        write_atomic(folder / outputs.LATENT_TENSORS, latents)
        write_json(out, metrics)
        tell(record["course"]["history"], metrics)
        done = {"evaluated": evaluated_by, "orphaned": run_is_gone()}
        write_json(state / outputs.TRAINED, record | done)


def write_course(folder: Path, spec: TrainSpec, record: dict[str, Any]) -> None:
    """Write what a training cost and its curve, from the record of its weights."""
    course = dict(record["course"])
    curve = curve_content(course.pop("history"), spec.cell, digest(spec))
    write_atomic(folder / outputs.CURVE, curve)
    course["curve_sha256"] = hashlib.sha256(curve).hexdigest()
    write_json(folder / outputs.TRAINING, record["training"] | course)


def read_trained(state: Path) -> dict[str, Any]:
    """What the kept weights are; empty when there are none or their record is damaged."""
    try:
        record = read_json(state / outputs.TRAINED)
        weights = sha256_of(state / outputs.WEIGHTS)
    except (FileNotFoundError, ValueError):
        return {}
    return record if record.get("weights_sha256") == weights else {}


def keep(sae: Autoencoder, record: dict[str, Any], state: Path) -> dict[str, Any]:
    """Keep trained weights, and the record of them, which is returned as it is kept."""
    with whole_file(state / outputs.WEIGHTS) as partial:
        sae.save(partial)
    record = record | {"weights_sha256": sha256_of(state / outputs.WEIGHTS)}
    write_json(state / outputs.TRAINED, record)
    return record


def drop_checkpoints(state: Path, but: str | None = None) -> None:
    """Remove the checkpoints of a cell, except those of the training with a given file name."""
    for path in state.glob(outputs.CHECKPOINT.format(key="*") + "*"):
        if but is None or not path.name.startswith(but):
            path.unlink()
