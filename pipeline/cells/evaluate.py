"""One trained autoencoder against the held-out split: everything that ``metrics.json`` says."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from pipeline.cells.looks import read_autoencoder, rows_of
from pipeline.data.baselines import Baselines, read_baselines
from pipeline.data.features import drawn_again, read_features
from pipeline.data.fetch import load_asset
from pipeline.data.manifests import open_store, stored_hookpoints
from pipeline.data.passes import LR_NOISE_GAP, SPLICED
from pipeline.jobs.json_files import digest, sha256_of
from pipeline.jobs.progress import Progress
from pipeline.study.cell import Cell
from pipeline.study.metrics import SCHEMA_VERSION, TRUTH, CellMetrics
from pipeline.study.specs import EvaluateSpec
from sagsae import __version__ as sagsae_version
from sagsae.activations.store import Store
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.gated import break_even_share
from sagsae.evaluation.calibration import Histograms, activation_histograms
from sagsae.evaluation.crossings import Crossing, crossed_losses
from sagsae.evaluation.distributions import Summary, quantiles
from sagsae.evaluation.loss_recovered import LossRecovered, sum_counted
from sagsae.evaluation.metrics import (
    GroupSums,
    ReconstructionMetrics,
    accumulate,
    bipolar_fraction,
    mean_minority_share,
    top,
)
from sagsae.synthetic.truth import judged
from sagsae.training.history import jump_in

# Properties of `ReconstructionMetrics` that are fields of `CellMetrics` of the same name.
MEASURED = (
    "l0",
    "r2",
    "sse",
    "sst",
    "dead_fraction",
    "dead_latents",
    "bipolar_fraction",
    "bipolar_firing_share",
)


def evaluate_cell(
    spec: EvaluateSpec,
    cell: Cell,
    train_info: dict[str, Any],
    weights: Path,
    heldout_manifest: Path,
    baselines: Path | None,
    asset: Path | None,
    device: torch.device,
) -> tuple[dict[str, Any], bytes]:
    """Measure one cell.

    Args:
        spec: ``Study.evaluate_spec`` of the cell.
        cell: the cell, whose weights they must be.
        train_info: ``training``, as in metrics.json; ``made_from``, with ``train``, the digest of
            the training specification, and ``store``, the seal of the training store; ``course``,
            with ``history``, the logged rows, ``diverged``, why training ended early, and
            ``calibration``.
        weights: the autoencoder, written by ``Autoencoder.save``.
        heldout_manifest: manifest of the model's held-out store.
        baselines: the model's baselines JSON; None where there is no language model.
        asset: the model's asset.json; None likewise.
        device: where to compute.

    Returns:
        The content of metrics.json, and that of latents.safetensors: per latent ``n_pos`` and
        ``n_neg`` [H] int64, ``slope_pos`` and ``slope_neg`` [H] float32 (NaN where it never fires
        with that sign); of k latents ``histogram_latents`` [k], ``histogram_edges`` [k, bins + 1]
        float64 and ``histogram_counts`` [k, bins], int64, see `Histograms`.

    Raises:
        EvaluationError: weights of another cell.
    """
    sae, place = read_autoencoder(weights, cell).to(device), cell.place
    store, label = open_store(heldout_manifest), f"evaluate {cell.path}"
    losses = None if baselines is None else read_baselines(baselines, place.predicts)
    sources = losses.sources if losses else None
    groups = GroupSums(sources.of_rows(store), len(sources.names)) if sources else None
    sums = accumulate(sae, rows_of(store, place, device, label), groups)
    quality = ReconstructionMetrics.from_accumulators(sums)
    rows = rows_of(store, place, device, f"{label}, histograms")
    latents = save(_latent_tensors(quality, activation_histograms(sae, rows, sums.firings)))
    if losses is None or asset is None:
        language = _without_language(sae, store)
    else:
        model = load_asset(asset, losses.dtype, device)
        source = stored_hookpoints(store, [place.reads])[place.reads]
        crossing = Crossing(source, losses.ablations[place.predicts].hookpoint, sae)
        language = _language_part(losses, groups, cell, crossing, model)
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
    metrics = {
        "schema_version": SCHEMA_VERSION,
        "cell": cell,
        "d_model": sae.d,
        "parameters": sae.parameter_count(),
        "parameters_per_latent": sae.parameters_per_latent(),
        "break_even_share": break_even_share(sae.name, sae.d),
        **_reconstruction_part(quality),
        **_course_part(train_info["course"], quality.collapsed),
        **language,
        "training": train_info["training"],
        "made_from": made_from,
    }
    return CellMetrics.model_validate(metrics).model_dump(), latents


def _without_language(sae: Autoencoder, store: Store) -> dict[str, Any]:
    """How far an autoencoder has found the features that a store is made of, if these are known."""
    absent = ("loss_recovered", "loss_recovered_mean", "ce_sae", "ce_clean", "ce_zero", "ce_mean")
    part: dict[str, Any] = dict.fromkeys(absent) | {"ce_tokens": 0, "lr_noisy": False}
    if (features := read_features(store)) is None:
        return part
    truth = asdict(judged(sae, features, drawn_again(store, features)))
    return part | {name: truth[name] for name in TRUTH}


def _course_part(course: dict[str, Any], collapsed: list[str]) -> dict[str, Any]:
    """Whether the cell collapsed, where its error jumped, whether its threshold is off."""
    if collapsed and course.get("diverged"):  # why training ended early is the first reason
        collapsed = [course["diverged"], *collapsed]
    return {
        "collapsed": collapsed,
        "jumped": jump_in(course["history"]),
        "threshold_off": "fault" in course.get("calibration", {}),
    }


def _language_part(
    losses: Baselines, groups: GroupSums | None, cell: Cell, crossing: Crossing, model: Any
) -> dict[str, Any]:
    """Losses of a language model with reconstructions spliced in; metrics of each source."""
    contexts, ablations = losses.contexts, losses.ablations[cell.place.predicts]
    progress = Progress(f"evaluate {cell.path}, spliced", len(contexts.input_ids), "contexts")
    batch = SPLICED[model.device.type]
    spliced, divergence = crossed_losses(model, contexts, batch, [crossing], progress.update)
    recovered = LossRecovered(
        clean=ablations.clean,
        sae=sum_counted(spliced, contexts),
        zero=ablations.zero,
        mean=ablations.mean,
    )
    return {
        "linear_r2": losses.linear[cell.place.name] if cell.place.target else None,
        **_losses(recovered),
        "lr_noisy": recovered.noisy(LR_NOISE_GAP),
        "kl": None if divergence is None else sum_counted(divergence, contexts).mean,
        "sources": _source_part(losses, groups, cell.place.predicts, spliced),
    }


def _source_part(
    losses: Baselines, groups: GroupSums | None, hookpoint: str, spliced: Tensor
) -> dict[str, Any]:
    """The metrics of each source of text; nothing where there is one."""
    sources = losses.sources
    if sources is None or groups is None:
        return {}
    recovered = sources.recovered(hookpoint, spliced, losses.contexts)
    parts = zip(sources.names, sources.train_rows, groups.metrics(), recovered, strict=True)
    return {
        name: {
            "train_rows": train_rows,
            "train_share": train_rows / sum(sources.train_rows),
            "rows": quality.tokens,
            "share": quality.tokens / groups.rows,
            **{k: getattr(quality, k) for k in ("l0", "r2", "r2_common", "sse", "sst")},
            **(_losses(loss) if loss else {}),
        }
        for name, train_rows, quality, loss in parts
    }


def _reconstruction_part(quality: ReconstructionMetrics) -> dict[str, Any]:
    """What rows alone say."""
    return {
        "eval_tokens": quality.tokens,
        **{name: getattr(quality, name) for name in MEASURED},
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
