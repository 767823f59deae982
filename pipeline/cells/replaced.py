"""Stage: what a language model loses where several of its layers are replaced at once.

python -m pipeline replaced --spec @FILE --cells-root DIR --heldout JSON --baselines JSON
    --asset JSON --out replaced/<model>/<hookpoint>.json
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.cells.looks import looking_into
from pipeline.data.baselines import read_baselines
from pipeline.data.fetch import load_asset
from pipeline.data.manifests import open_store, stored_hookpoints
from pipeline.data.passes import SPLICED
from pipeline.jobs.json_files import write_json
from pipeline.jobs.progress import Progress
from pipeline.jobs.stage import Device
from pipeline.study.looks import UsedCell
from pipeline.study.replaced import ReplacedRun, ReplacedSpec, sets_of
from sagsae.activations.hookpoints import Hookpoint, splice
from sagsae.evaluation.crossings import Crossing, crossed_losses
from sagsae.evaluation.loss_recovered import changed_losses, kept_only, sum_counted, zeros


@contextmanager
def silenced(model: Any, points: Sequence[Hookpoint], kept: Tensor) -> Iterator[None]:
    """Zeros in the place of some outputs, at the kept positions [B, L]."""
    with ExitStack() as stack:
        for point in points:
            stack.enter_context(splice(model, point, kept_only(zeros, kept)))
        yield


def main(
    spec: ReplacedSpec,
    cells_root: Path,
    heldout: Path,
    baselines: Path,
    asset: Path,
    out: Path,
    device: Device = "auto",
) -> None:
    """Replace all layers of each set of cells, and write what that costs.

    Args:
        spec: ReplacedSpec as JSON, or @FILE that holds it
        cells_root: folder of the cells, with metrics and weights
        heldout: manifest of the held-out store
        baselines: the model's baselines JSON
        asset: asset.json of the model
        out: JSON to write
        device: where to compute

    Raises:
        EvaluationError: weights that do not belong to their metrics.
    """
    groups = sets_of(spec.cells)
    with looking_into(spec, cells_root, device, out, heldout, baselines, asset) as measured:
        store, losses = open_store(heldout, spec.store), read_baselines(baselines)
        model = load_asset(asset, losses.dtype, measured.device)
        contexts, batch = losses.contexts, SPLICED[measured.device.type]
        places = [cell.place for cell in groups[0]]
        points = stored_hookpoints(store, [end for p in places for end in (p.reads, p.predicts)])
        targets = [points[place.predicts] for place in places]
        progress = Progress(f"replaced {spec.folder}", len(groups), "sets")
        zero = changed_losses(model, contexts, batch, lambda kept: silenced(model, targets, kept))
        sets = []
        for done, group in enumerate(groups, start=1):
            crossings = [
                Crossing(
                    points[cell.place.reads],
                    points[cell.place.predicts],
                    measured.autoencoder(cell),
                )
                for cell in group
            ]
            loss, divergence = crossed_losses(model, contexts, batch, crossings)
            metrics = [measured.metrics[cell] for cell in group]
            kl = None if divergence is None else sum_counted(divergence, contexts).mean
            sets.append(
                {
                    "cells": [UsedCell.values(known) for known in metrics],
                    "ce_each": [known.ce_sae for known in metrics],
                    "ce_all": sum_counted(loss, contexts).mean,
                    "kl_all": kl,
                }
            )
            progress.update(done)
        clean = losses.ablations[places[0].predicts].clean
        result = {
            "layers": [place.layer for place in places],
            "ce_tokens": clean.tokens,
            "ce_clean": clean.mean,
            "ce_zero": sum_counted(zero.loss, contexts).mean,
            "sets": sets,
        }
        write_json(out, ReplacedRun.made(spec, result).model_dump())
