"""Stage: probe the codes of the cells of one place, and measure what they absorb.

    python -m pipeline probe --spec @FILE --cells-root DIR --heldout JSON --heldout-tokens JSON
        --asset JSON --out probe/<model>/<hookpoint>/seed0.json

Labels come from the text of the held-out tokens. The rows that some label uses are read from the
store once, for all cells; each cell encodes them once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.cells.looks import EvaluationError, looking_into, rows_of
from pipeline.data.fetch import model_folder
from pipeline.data.manifests import open_store
from pipeline.data.tokenise import open_tokens
from pipeline.jobs.json_files import write_json
from pipeline.jobs.progress import Progress
from pipeline.jobs.stage import Device
from pipeline.study.looks import UsedCell
from pipeline.study.places import Place
from pipeline.study.probe import SOURCE, ProbeRun, ProbeSpec
from sagsae.activations.language_models import load_tokenizer, texts_of
from sagsae.activations.store import Store
from sagsae.activations.tokens import TokenStore, places_of_rows
from sagsae.evaluation.probing.probes import Task
from sagsae.evaluation.probing.scores import (
    Baseline,
    TaskScores,
    probe_activations,
    probe_autoencoder,
)
from sagsae.evaluation.probing.tasks import Sampling, gathered, make_tasks
from sagsae.evaluation.probing.token_labels import Labelling, source_labels, token_labels


def labels_of(tokens: TokenStore, tokenizer: Any, kinds: list[str]) -> list[Labelling]:
    """The labels [n, L] of all tokens of some contexts, in the order of ``kinds``."""
    ids = np.unique(tokens.input_ids)
    texts = [""] * (int(ids[-1]) + 1)
    for token, text in zip(ids.tolist(), texts_of(tokenizer, ids.tolist()), strict=True):
        texts[token] = text
    known = token_labels(
        texts,
        tokens.input_ids,
        tokens.doc_id,
        tokenizer.all_special_ids,
        starts=tokens.metadata.get("start_token_id") is not None,
    )
    by_kind = {labelling.kind: labelling for labelling in known}
    sources = tokens.metadata.get("sources", [])
    if len(sources) > 1:
        names, first = ([part[key] for part in sources] for key in ("name", "first_document"))
        by_kind[SOURCE] = source_labels(names, first, by_kind["digit"], tokens.doc_id)
    return [by_kind[kind] for kind in kinds if kind in by_kind]


def chosen_tasks(
    spec: ProbeSpec, store: Store, tokens: TokenStore, tokenizer: Any
) -> tuple[Tensor, list[Task], list[str]]:
    """The rows of the store that some label uses, the tasks on these, and what was left out.

    Raises:
        EvaluationError: no label has enough rows.
    """
    plan = spec.probe
    places = np.concatenate([places_of_rows(store, tokens, block) for block in store.blocks])
    labellings = [labels.take(places) for labels in labels_of(tokens, tokenizer, list(plan.labels))]
    sampling = Sampling(plan.train_rows, plan.test_rows, least_rows=plan.least_rows)
    tasks, left_out = make_tasks(labellings, tokens.doc_id.ravel()[places], sampling)
    if not tasks:
        raise EvaluationError(
            f"probe {spec.model}: no label has probe.least_rows = {plan.least_rows} held-out rows "
            f"in training and in test ({', '.join(left_out) or 'none was found'} looked at): lower "
            "it, or raise dump.heldout_rows"
        )
    rows, tasks = gathered(tasks)
    return rows, tasks, left_out


def rows_at(store: Store, place: Place, rows: Tensor, label: str) -> Tensor:
    """Some rows [m] of a store, ascending, as they are stored: [m, d] on the CPU."""
    parts, first = [], 0
    for batch in rows_of(store, place, torch.device("cpu"), label):
        inside = rows[(rows >= first) & (rows < first + len(batch))]
        parts.append(batch[inside - first])
        first += len(batch)
    return torch.cat(parts)


def _label_part(task: Task, baseline: Baseline) -> dict[str, Any]:
    return {
        "name": task.name,
        "train": len(task.train),
        "test": len(task.test),
        "dense": baseline.dense.score.accuracy,
        "dense_f1": baseline.dense.score.f1,
        "neurons": [probe.score.accuracy for probe in baseline.neurons],
    }


def _probed_part(scores: TaskScores) -> dict[str, Any]:
    absorbed = scores.absorption
    return {
        "accuracy": [probe.score.accuracy for probe in scores.probes],
        "latents": list(scores.latents),
        "sides": scores.probes[-1].features.tolist(),
        "absorption": absorbed
        and {
            "main": absorbed.main.tolist(),
            "rows": absorbed.rows,
            "fraction": absorbed.fraction and float(f"{absorbed.fraction:.6g}"),
            "full": absorbed.full,
        },
    }


def main(
    spec: ProbeSpec,
    cells_root: Path,
    heldout: Path,
    heldout_tokens: Path,
    asset: Path,
    out: Path,
    device: Device = "auto",
) -> None:
    """Probe at one place, and write what was found.

    Args:
        spec: ProbeSpec as JSON, or @FILE that holds it
        cells_root: folder of the cells, with metrics and weights
        heldout: manifest of the held-out store
        heldout_tokens: record of the held-out contexts
        asset: asset.json of the model
        out: JSON to write
        device: where to compute codes; auto: a GPU where there is one

    Raises:
        EvaluationError: no label has enough rows, or weights that do not belong to their metrics.
    """
    where, records = f"probe {spec.model}/{spec.hookpoint}", (heldout, heldout_tokens, asset)
    with looking_into(spec, cells_root, device, out, *records) as measured:
        store, contexts = open_store(heldout, spec.store), open_tokens(heldout_tokens)
        tokenizer = load_tokenizer(model_folder(asset))
        rows, tasks, left_out = chosen_tasks(spec, store, contexts, tokenizer)
        x = rows_at(store, spec.place, rows, f"{where}, rows")
        progress = Progress(f"{where}, activations", len(tasks), "labels")
        baselines = probe_activations(x, tasks, spec.probe.ks, progress.update)
        progress, probed = Progress(f"{where}, codes", len(spec.cells), "cells"), []
        for done, cell in enumerate(spec.cells, start=1):
            sae = measured.autoencoder(cell)
            scores = probe_autoencoder(sae, x, tasks, spec.probe.ks, baselines, measured.device)
            live = {"live_sides": scores.sides, "live_latents": scores.latents}
            labels = list(map(_probed_part, scores.tasks))
            probed.append({**UsedCell.values(measured.metrics[cell]), **live, "labels": labels})
            progress.update(done)
        result = {
            "ks": spec.probe.ks,
            "rows": len(rows),
            "labels": [_label_part(*pair) for pair in zip(tasks, baselines, strict=True)],
            "left_out": left_out,
            "cells": probed,
        }
        write_json(out, ProbeRun.made(spec, result).model_dump())
