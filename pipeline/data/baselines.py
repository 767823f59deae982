"""What one language model loses when a hookpoint is silenced, computed once for all its cells.

An entry of the cache holds a file of tensors (evaluation contexts, kept positions, the hidden
states that enter the lowest tapped block, so that cells skip the blocks below it, and the model's
own predictions) and, written last, ``baselines.json`` with the losses and the digest of that file.
Where the text has several sources, the tensors include the losses of every token, too, and the
source that it is of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pipeline.data.fetch import load_asset
from pipeline.data.manifests import open_store, stored_hookpoints
from pipeline.data.passes import SPLICED
from pipeline.data.text_sources import ABLATIONS, CLEAN, Sources
from pipeline.data.tokenise import open_tokens
from pipeline.jobs.cache import BASELINES, LOSSES, Entry, entry_folder, using, write_record
from pipeline.jobs.json_files import digest, expect_fields, read_json, sha256_of, write_json
from pipeline.jobs.progress import say
from pipeline.jobs.stage import Device, device_of
from pipeline.study.places import Place
from pipeline.study.specs import BaselineSpec
from sagsae.activations.hookpoints import Hookpoint, capture
from sagsae.activations.reading import kept_mask, load_calibration
from sagsae.activations.store import Store
from sagsae.activations.stream import iterate
from sagsae.activations.tokens import TokenStore
from sagsae.autoencoders.linear_map import LinearMap
from sagsae.evaluation.loss_recovered import (
    Contexts,
    SummedLoss,
    all_losses,
    constant,
    spliced_losses,
    sum_counted,
    token_losses,
    with_predictions,
    zeros,
)
from sagsae.evaluation.predictions import Predictions
from sagsae.evaluation.resume import find_blocks, record_entry, runs_from
from sagsae.files import write_atomic

# Rows that a linear map sees at once.
ROWS = 16_384


@dataclass(frozen=True, kw_only=True)
class Ablations:
    """Losses at one hookpoint, all over the same tokens."""

    hookpoint: Hookpoint
    clean: SummedLoss
    zero: SummedLoss
    mean: SummedLoss


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """A finished baselines file.

    Attributes:
        contexts: the evaluation contexts; with hidden states where resuming proved exact.
        dtype: name of the language model's dtype.
        ablations: by hookpoint name.
        linear: R2 of the best linear map on the held-out rows, by place with a target.
        sources: None where the text has one.
    """

    contexts: Contexts
    dtype: str
    ablations: dict[str, Ablations]
    linear: dict[str, float]
    sources: Sources | None = None


def read_contexts(
    model: nn.Module, input_ids: Tensor, store: Store, layer: int, batch: int
) -> tuple[Contexts, Tensor]:
    """One full pass over the evaluation contexts.

    Args:
        model: the language model.
        input_ids: [n, L] evaluation contexts.
        store: the training store, for its hookpoints and drop rules.
        layer: the lowest tapped block.
        batch: contexts a forward pass.

    Returns:
        The contexts with hidden states that enter the block, and [n, L - 1] float32 losses on
        every predicted token.
    """
    points = stored_hookpoints(store, list(store.config.hookpoints))
    medians = load_calibration(store.storage)
    ratio = store.config.provenance["dump"]["max_norm_ratio"]
    blocks, device = find_blocks(model), next(model.parameters()).device
    kept, losses = [], []
    with (
        capture(model, points, early_exit=False) as captured,
        record_entry(model, blocks, layer) as entered,
    ):
        for part in input_ids.split(batch):
            losses.append(token_losses(model, part.to(device, torch.long)).loss.cpu())
            kept.append(kept_mask(captured, medians, ratio).cpu())
            entered[-1] = entered[-1].cpu()
    hidden, mask = torch.cat(entered), torch.cat(kept)
    contexts = Contexts(input_ids=input_ids, kept=mask, hidden=hidden, blocks=blocks, layer=layer)
    return contexts, torch.cat(losses)


def why_not_resumed(
    model: nn.Module, contexts: Contexts, losses: Tensor, points: dict[str, Hookpoint], batch: int
) -> str:
    """Why passes must start from the tokens; empty if resuming gives the same losses to the bit."""
    for point in points.values():
        if not runs_from(contexts.blocks, contexts.layer, point.module):
            return f"{point.path} does not lie in block {contexts.layer} or above"
    resumed = all_losses(model, contexts, batch)
    if torch.equal(resumed, losses):
        return ""
    return f"resumed losses differ by up to {float((resumed - losses).abs().max()):.3g} nats"


def write_baselines(
    out: Path, made_from: dict[str, str], baselines: Baselines, losses: Tensor, note: str
) -> None:
    """Write the tensors, then the JSON that vouches for them."""
    contexts = baselines.contexts
    tensors = {"input_ids": contexts.input_ids, "kept": contexts.kept}
    if contexts.hidden is not None:
        tensors["hidden"] = contexts.hidden
    if contexts.predictions is not None:
        tensors |= contexts.predictions.tensors
    if baselines.sources is not None:
        tensors |= baselines.sources.tensors
    beside = out.with_suffix(".safetensors")
    write_atomic(beside, save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    record = {
        "blocks": contexts.blocks,
        "dtype": baselines.dtype,
        "hookpoints": {name: _record(item) for name, item in baselines.ablations.items()},
        "layer": contexts.layer,
        "linear": baselines.linear,
        "loss": float(losses.double().mean()),
        "made_from": made_from,
        "resume_note": note,
        "tensors": {"file": beside.name, "sha256": sha256_of(beside)},
    }
    if baselines.sources is not None:
        record["sources"] = baselines.sources.record
    write_json(out, record)


def _record(item: Ablations) -> dict[str, Any]:
    sums = {name: getattr(item, name) for name in (CLEAN, *ABLATIONS)}
    return {
        "module": item.hookpoint.path,
        "tokens": item.clean.tokens,
        **{f"sum_{name}": loss.total for name, loss in sums.items()},
        **{f"ce_{name}": loss.mean for name, loss in sums.items()},
    }


def read_baselines(path: Path, hookpoint: str = "") -> Baselines:
    """Read what ``write_baselines`` wrote.

    Args:
        path: The JSON.
        hookpoint: One that is needed.

    Raises:
        ValueError: the JSON is damaged, of another kind or without the hookpoint, or the tensors
            are absent or not those that the JSON was written for.
    """
    record = read_json(path)
    with expect_fields(path):
        beside = entry_folder(path, record) / record["tensors"]["file"]
        expected = record["tensors"]["sha256"]
        ablations = {
            name: Ablations(
                hookpoint=Hookpoint.at(name, item["module"]),
                **{k: _loss(item, k) for k in (CLEAN, *ABLATIONS)},
            )
            for name, item in record["hookpoints"].items()
        }
        blocks, layer, dtype = record["blocks"], record["layer"], record["dtype"]
        linear = dict(record.get("linear", {}))  # earlier ones have none
    if hookpoint and hookpoint not in ablations:
        raise ValueError(f"{path}: has {', '.join(ablations)} but not {hookpoint}; delete it")
    if not beside.is_file() or sha256_of(beside) != expected:
        raise ValueError(f"{beside}: absent or altered since {path} was written; delete {path}")
    with expect_fields(beside):
        tensors = load_file(beside)
        contexts = Contexts(
            input_ids=tensors["input_ids"],
            kept=tensors["kept"],
            hidden=tensors.get("hidden"),
            blocks=blocks,
            layer=layer,
            predictions=Predictions.read(tensors),
        )
        sources = Sources.read(record["sources"], tensors) if "sources" in record else None
    return Baselines(
        contexts=contexts, dtype=dtype, ablations=ablations, linear=linear, sources=sources
    )


def _loss(item: dict[str, Any], kind: str) -> SummedLoss:
    return SummedLoss(float(item[f"sum_{kind}"]), int(item["tokens"]))


def evaluation_tokens(spec: BaselineSpec, tokens: Path, heldout: Store) -> TokenStore:
    """The first ``lr_contexts`` contexts of the held-out split.

    Raises:
        ValueError: too few contexts, or tokens that the held-out store was not made from.
    """
    every, wanted = open_tokens(tokens), spec.lr_contexts
    if read_json(tokens)["family"] != heldout.config.provenance["tokens"]:
        raise ValueError(f"{tokens}: not the tokens that {heldout.path} was dumped from")
    if every.n_contexts < wanted:
        raise ValueError(
            f"{tokens}: has {every.n_contexts} contexts, evaluation.lr_contexts asks for {wanted}"
        )
    return every.first(wanted)


def main(
    spec: BaselineSpec,
    asset: Path,
    tokens: Path,
    train_manifest: Path,
    heldout_manifest: Path,
    cache: Path,
    out: Path,
    device: Device = "auto",
) -> None:
    """Compute the baselines of one model unless the cache has them, and record them.

    Args:
        spec: BaselineSpec as JSON
        asset: asset.json of the model
        tokens: contexts of the held-out split
        train_manifest: manifest of the training store
        heldout_manifest: manifest of the held-out store
        cache: folder of the cache
        out: record to write
        device: where to compute; auto: a GPU where there is one
    """
    manifests = train_manifest, heldout_manifest
    sealed = [read_json(manifest)["sha256"] for manifest in manifests]
    made_from = {"baselines": digest(spec), "train": sealed[0], "heldout": sealed[1]}
    entry = Entry(cache, BASELINES, digest(made_from))
    made = entry.folder / LOSSES
    with using(asset, tokens, *manifests), entry.used(), entry.making():
        if not made.exists():
            stores = [open_store(*pair) for pair in zip(manifests, spec.stores, strict=True)]
            chosen = evaluation_tokens(spec, tokens, stores[1])
            model = load_asset(asset, spec.model.dtype, device_of(device))
            write_baselines(made, made_from, *measure(spec, model, chosen, *stores))
        write_record(out, read_json(made), entry.folder)


def measure(
    spec: BaselineSpec, model: Any, chosen: TokenStore, train: Store, heldout: Store
) -> tuple[Baselines, Tensor, str]:
    """Baselines on some contexts; the losses of the untouched model; why passes are whole ones."""
    name, batch = spec.model.name, SPLICED[model.device.type]
    ids, points = (
        torch.from_numpy(chosen.input_ids.copy()),
        stored_hookpoints(train, spec.hookpoints),
    )
    contexts, losses = read_contexts(model, ids, train, spec.model.depths[0], batch)
    say(f"{name}: {losses.double().mean().item():.3f} nats a token, {len(ids)} contexts")
    if note := why_not_resumed(model, contexts, losses, points, batch):
        say(f"{name}: every pass runs all blocks: {note}")
        contexts = contexts.full
    contexts = with_predictions(model, contexts, batch)
    if contexts.predictions is None:
        say(f"{name}: no divergences are measured: its head is not linear")
    ablations, sources = {}, Sources.of(chosen, train)
    if sources is not None:
        sources.keep(losses, CLEAN)
    for place, point in points.items():
        spliced = partial(spliced_losses, model, contexts, batch, point)
        mean = constant(torch.from_numpy(train.statistics(place).mean))
        kinds = {CLEAN: losses, "zero": spliced(zeros).loss, "mean": spliced(mean).loss}
        sums = {kind: sum_counted(x, contexts) for kind, x in kinds.items()}
        ablations[place] = item = Ablations(hookpoint=point, **sums)
        if sources is not None:
            for kind in ABLATIONS:
                sources.keep(kinds[kind], place, kind)
        say(f"{place}: clean {item.clean.mean:.3f}, zero {item.zero.mean:.3f} nats a token")
    linear = {name: _linear_r2(Place.named(name), train, heldout) for name in spec.crossings}
    made = Baselines(
        contexts=contexts,
        dtype=spec.model.dtype,
        ablations=ablations,
        linear=linear,
        sources=sources,
    )
    return made, losses, note


def _linear_r2(place: Place, train: Store, heldout: Store) -> float:
    """R2 on held-out rows of the linear map that is best on the training rows of a place."""
    ends = place.reads, ROWS, place.predicts
    found = LinearMap.fit(iterate(train, *ends), train.width(place.reads))
    r2 = found.r2(iterate(heldout, *ends))
    say(f"{place.name}: the best linear map has R2 {r2:.3f}")
    return r2
