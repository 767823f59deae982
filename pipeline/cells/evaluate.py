"""One trained autoencoder against the held-out split: everything that ``metrics.json`` says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from pipeline.data.baselines import Baselines, read_baselines
from pipeline.data.fetch import load_asset
from pipeline.data.manifests import open_store
from pipeline.data.passes import LR_NOISE_GAP, SPLICED
from pipeline.jobs.json_files import digest, sha256_of
from pipeline.jobs.progress import Progress
from pipeline.study.cell import Cell
from pipeline.study.metrics import SCHEMA_VERSION, CellMetrics, read_all
from pipeline.study.outputs import LATENT_TENSORS, METRICS, WEIGHTS
from pipeline.study.specs import EvaluateSpec
from sagsae import __version__ as sagsae_version
from sagsae.activations.store import Store
from sagsae.activations.stream import iterate
from sagsae.autoencoders.accounting import break_even_share
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.weights import class_of, load
from sagsae.evaluation.distributions import Summary, quantiles
from sagsae.evaluation.groups import GroupSums
from sagsae.evaluation.histograms import Histograms, activation_histograms
from sagsae.evaluation.loss_recovered import LossRecovered, spliced_losses, sum_counted
from sagsae.evaluation.metrics import (
    ReconstructionMetrics,
    accumulate,
    bipolar_fraction,
    mean_minority_share,
    top,
)
from sagsae.evaluation.replacements import reconstruction
from sagsae.training.history import jump_in

# Rows read at once.
ROWS = 8192


class EvaluationError(ValueError):
    """A cell that cannot be evaluated; the message says why and what to do."""


def evaluate_cell(
    spec: EvaluateSpec,
    cell: Cell,
    train_info: dict[str, Any],
    weights: Path,
    heldout_manifest: Path,
    baselines: Path,
    asset: Path,
    device: torch.device,
) -> tuple[dict[str, Any], bytes]:
    """Measure one cell.

    Args:
        spec: ``Study.evaluate_spec`` of the cell.
        cell: which one.
        train_info: ``training``, as in metrics.json; ``made_from``, with ``train``, the digest of
            the training specification, and ``store``, the seal of the training store; ``course``,
            with ``history``, the logged rows, ``diverged``, why training ended early, and
            ``calibration``.
        weights: the autoencoder, written by ``Autoencoder.save``.
        heldout_manifest: manifest of the model's held-out store.
        baselines: the model's baselines JSON.
        asset: the model's asset.json.
        device: where to compute.

    Returns:
        The content of metrics.json, and that of latents.safetensors: per latent ``n_pos`` and
        ``n_neg`` [H] int64, ``slope_pos`` and ``slope_neg`` [H] float32 (NaN where it never fires
        with that sign); of k latents ``histogram_latents`` [k], ``histogram_edges`` [k, bins + 1]
        float64 and ``histogram_counts`` [k, bins], int64, see `Histograms`.

    Raises:
        EvaluationError: weights of another cell.
    """
    sae = read_autoencoder(weights, cell).to(device)
    store = open_store(heldout_manifest)
    label = f"evaluate {cell.path}"
    found = read_baselines(baselines, cell.hookpoint)
    groups = None
    if found.sources is not None:
        groups = GroupSums(found.sources.of_rows(store), len(found.sources.names))
    sums = accumulate(sae, rows_of(store, cell.hookpoint, device, label), groups)
    quality = ReconstructionMetrics.from_accumulators(sums)
    rows = rows_of(store, cell.hookpoint, device, f"{label}, histograms")
    histograms = activation_histograms(sae, rows, sums.firings)
    item, model = found.ablations[cell.hookpoint], load_asset(asset, found.dtype, device)
    progress = Progress(f"{label}, spliced", len(found.contexts.input_ids), "contexts")
    splice, batch = reconstruction(sae), SPLICED[device.type]
    spliced, divergence = spliced_losses(
        model, found.contexts, batch, item.hookpoint, splice, progress.update
    )
    recovered = LossRecovered(
        clean=item.clean,
        sae=sum_counted(spliced, found.contexts),
        zero=item.zero,
        mean=item.mean,
    )
    latents = save(_latent_tensors(quality, histograms))
    made_from = {
        **train_info["made_from"],
        "evaluate": digest(spec),
        "weights_sha256": sha256_of(weights),
        "latents_sha256": hashlib.sha256(latents).hexdigest(),
        "trained_with": sae.provenance.get("versions", {}),
        "evaluated_with": {  # the packages that decide what is measured
            "torch": torch.__version__,
            "transformers": version("transformers"),
            "sagsae": sagsae_version,
        },
    }
    course, collapsed = train_info["course"], quality.collapsed
    if collapsed and course.get("diverged"):  # why training ended early is the first reason
        collapsed = [course["diverged"], *collapsed]
    metrics = {
        "schema_version": SCHEMA_VERSION,
        "cell": cell,
        "d_model": sae.d,
        "parameters": sae.parameter_count(),
        "parameters_per_latent": sae.parameters_per_latent(),
        "break_even_share": break_even_share(sae.name, sae.d),
        **_reconstruction_part(quality),
        "collapsed": collapsed,
        "jumped": jump_in(course["history"]),
        "threshold_off": "fault" in course.get("calibration", {}),
        **_losses(recovered),
        "lr_noisy": recovered.noisy(LR_NOISE_GAP),
        "kl": None if divergence is None else sum_counted(divergence, found.contexts).mean,
        "sources": _source_part(found, groups, cell.hookpoint, spliced),
        "training": train_info["training"],
        "made_from": made_from,
    }
    return CellMetrics.model_validate(metrics).model_dump(), latents


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
        """One of them; raises EvaluationError where its weights are not those of its metrics."""
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


def rows_of(store: Store, hookpoint: str, device: torch.device, label: str) -> Iterator[Tensor]:
    """A store's rows of a hookpoint on the device, [B, d] each; progress goes under a label."""
    progress, done = Progress(label, store.n_rows, "tokens"), 0
    for batch in iterate(store, hookpoint, ROWS):
        yield batch.to(device)
        done += len(batch)
        progress.update(done)


def _source_part(
    found: Baselines, groups: GroupSums | None, hookpoint: str, spliced: Tensor
) -> dict[str, Any]:
    """The metrics of each source of text; nothing where there is one."""
    sources = found.sources
    if sources is None or groups is None:
        return {}
    recovered = sources.recovered(hookpoint, spliced, found.contexts)
    own = zip(sources.names, sources.train_rows, groups.metrics(), recovered, strict=True)
    return {
        name: {
            "train_rows": train_rows,
            "train_share": train_rows / sum(sources.train_rows),
            "rows": quality.tokens,
            "share": quality.tokens / groups.rows,
            **{k: getattr(quality, k) for k in ("l0", "r2", "r2_common", "sse", "sst")},
            **(_losses(loss) if loss else {}),
        }
        for name, train_rows, quality, loss in own
    }


def _reconstruction_part(quality: ReconstructionMetrics) -> dict[str, Any]:
    same = CellMetrics.model_fields.keys() & dir(quality)
    return {
        "eval_tokens": quality.tokens,
        **{name: getattr(quality, name) for name in same},
        "census": _census_part(quality),
        "calibration": {
            side: asdict(Summary.of(slopes))
            for side, slopes in zip(("positive", "negative"), quality.slopes, strict=True)
        },
    }


def _census_part(quality: ReconstructionMetrics) -> dict[str, Any]:
    counts = torch.stack([quality.n_pos, quality.n_neg])
    part: dict[str, Any] = {"minority_share_quantiles": quantiles(quality.minority_share)}
    for percent in (1, 10):
        latents = top(quality.contribution, counts.sum(0) > 0, percent / 100)
        part[f"top{percent}_bipolar_fraction"] = bipolar_fraction(counts, latents)
        minority_share = mean_minority_share(quality.minority_share, latents)
        part[f"top{percent}_minority_share"] = minority_share
    return part


def _latent_tensors(quality: ReconstructionMetrics, histograms: Histograms) -> dict[str, Tensor]:
    slope_pos, slope_neg = quality.slopes.float()
    return {
        "n_pos": quality.n_pos,
        "n_neg": quality.n_neg,
        "slope_pos": slope_pos,
        "slope_neg": slope_neg,
        **{f"histogram_{of}": getattr(histograms, of) for of in ("latents", "edges", "counts")},
    }


def _losses(recovered: LossRecovered) -> dict[str, Any]:
    noisy = recovered.noisy(LR_NOISE_GAP)
    return {
        "loss_recovered": None if noisy else recovered.over_zero,
        "loss_recovered_mean": None if noisy else recovered.over_mean,
        **{f"ce_{of}": getattr(recovered, of).mean for of in ("sae", "clean", "zero", "mean")},
        "ce_tokens": recovered.tokens,
    }
