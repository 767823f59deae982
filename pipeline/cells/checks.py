"""Whether cells, and files of what was found by looking into them, are whole and of this study.

A check raises ValueError, OSError or ImportError; the message says what is wrong with which file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.cells.evaluate import read_autoencoder
from pipeline.cells.run import read_trained
from pipeline.jobs.json_files import digest, read_json, sha256_of
from pipeline.study.cell import Cell
from pipeline.study.dial import read_dial_run
from pipeline.study.looks import LookRun
from pipeline.study.metrics import read_metrics
from pipeline.study.outputs import CURVE, LATENT_TENSORS, METRICS, STATE, TRAINED, TRAINING, WEIGHTS
from pipeline.study.probe import read_probe_run
from pipeline.study.study import Study


def check_cell(study: Study, cell: Cell, file: Path) -> None:
    """Check a finished cell: its metrics, in a file, and the files beside them."""
    folder, metrics = file.parent, read_metrics(file, cell)
    made_from = metrics.made_from
    check_digest(file, "training", made_from.train, digest(study.train_spec(cell)))
    check_digest(file, "evaluation", made_from.evaluate, digest(study.evaluate_spec(cell)))
    _check_content(folder / WEIGHTS, made_from.weights_sha256, METRICS)
    _check_content(folder / LATENT_TENSORS, made_from.latents_sha256, METRICS)
    read_autoencoder(folder / WEIGHTS, cell)
    record, trained = read_json(folder / TRAINING), metrics.training.model_dump()
    if {key: record.get(key) for key in trained} != trained:
        raise ValueError(f"{folder / TRAINING}: of another training than {METRICS}")
    if curve := record.get("curve_sha256"):  # earlier versions wrote none
        _check_content(folder / CURVE, curve, TRAINING)
    state = folder / STATE
    if (state / TRAINED).exists() and read_trained(state).get(
        "weights_sha256"
    ) != made_from.weights_sha256:
        raise ValueError(f"{state / TRAINED}: damaged, or it keeps other weights than {METRICS}")


def check_look(study: Study, file: Path) -> None:
    """Check a file of steering or of probes: its content, and the weights that it was made with."""
    read: Callable[[Path], LookRun] = read_dial_run if str(file) in study.dials else read_probe_run
    run = read(file)
    check_digest(file, "specification", run.spec, digest(study.look_specs[str(file)]))
    for one in run.used:
        metrics = Path(study.metrics(one.cell))
        if not metrics.exists():
            continue
        if read_metrics(metrics, one.cell).made_from.weights_sha256 != one.weights_sha256:
            raise ValueError(f"{file}: made with weights that {one.cell.path} no longer has")


def check_digest(file: Path, what: str, found: object, expected: str) -> None:
    """Compare the digest of a specification with that of this study's."""
    if found != expected:
        raise ValueError(
            f"{file}: made for another configuration: {what} {found}, this study's is {expected}"
        )


def _check_content(file: Path, expected: str, beside: str) -> None:
    if not file.exists():
        raise ValueError(f"{file}: missing, but {beside} is there")
    if (found := sha256_of(file)) != expected:
        raise ValueError(f"{file}: its sha256 is {found}, {beside} was written beside {expected}")
