"""Stage: one pass of a language model fills an activation store in the cache, and is recorded.

A store serves all studies whose settings differ in the number of rows alone. A study that needs
more rows adds blocks to it; one that needs fewer reads its first blocks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from pipeline.data.fetch import load_asset
from pipeline.data.manifests import describe, hookpoints_of
from pipeline.data.passes import DUMPED
from pipeline.data.tokenise import open_tokens
from pipeline.jobs.cache import STORES, Entry, using, write_record
from pipeline.jobs.json_files import digest, read_json
from pipeline.jobs.progress import Progress
from pipeline.jobs.stage import Device, device_of
from pipeline.study.specs import DumpSpec
from sagsae.activations.dump import DumpProgress, dump_activations
from sagsae.activations.reading import DumpSettings
from sagsae.activations.storage import storage_at
from sagsae.activations.store import Store

# Contexts of the training split from which the median norms are taken.
CALIBRATION_CONTEXTS = 64


def provenance_of(
    spec: DumpSpec, asset: Path, tokens: Path, calibration_tokens: Path
) -> dict[str, Any]:
    """What names model and text; ``family`` is a digest of all that determines the rows but their
    number.

    Args:
        spec: Of the dump.
        asset: asset.json of the model.
        tokens: Record of the contexts of the split.
        calibration_tokens: Record of the contexts of the train split.

    Raises:
        ValueError: the model is of another width than the configuration says.
    """
    model, known = spec.model, read_json(asset)
    if known["d_model"] != model.d_model:
        raise ValueError(
            f"model {model.name}: d_model is {model.d_model} in the configuration "
            f"and {known['d_model']} in the model: correct models[].d_model"
        )
    named = {
        "model": model.name,
        **model.model_dump(include={"layer", "layers"}),
        "model_dtype": model.dtype,
        "split": spec.split,
        "weights_sha256": known["weights_sha256"],
        "tokenizer_sha256": known["tokenizer_sha256"],
        "revision": known["resolved_revision"],
        "tokens": read_json(tokens)["family"],
        "torch": torch.__version__.split("+")[0],
    }
    determined = spec.model_dump(exclude={"rows", "tokens", "calibration_tokens"})
    of_text = {"calibration_tokens": read_json(calibration_tokens)["family"]}
    return named | {"family": digest(determined | of_text | {"named": named})}


def main(
    spec: DumpSpec,
    asset: Path,
    tokens: Path,
    calibration_tokens: Path,
    cache: Path,
    out: Path,
    device: Device = "auto",
    stores: str = "",
    profile: Literal["plain", "disk"] = "plain",
    sharded: Literal[0, 1] = 0,
) -> None:
    """Dump the rows that are not there yet, seal them, and record the store.

    Args:
        spec: DumpSpec as JSON
        asset: asset.json of the model
        tokens: record of the contexts of this split
        calibration_tokens: record of the contexts of the train split
        cache: folder of the cache
        out: manifest to write
        device: where to compute; auto: a GPU where there is one
        stores: folder or s3:// URL of the stores; the cache's own where it is not given
        profile: how chunks are compressed
        sharded: 1: each block of a hookpoint in one file
    """
    provenance = provenance_of(spec, asset, tokens, calibration_tokens)
    model, name, size = spec.model, f"{spec.model.name}-{spec.split}", spec.dump.rows_per_block
    blocks = spec.rows // size
    progress = Progress(f"dump {name}", blocks * size, "rows")

    def update(at: DumpProgress) -> None:
        progress.update(at.blocks_done * size, f"{at.tokens_per_second:,.0f} model tokens/s")

    entry = Entry(cache, STORES, provenance["family"])
    with using(asset, tokens, calibration_tokens), entry.used(), entry.making():
        place, contexts = device_of(device), open_tokens(calibration_tokens).input_ids
        settings = DumpSettings(
            **spec.model_dump(exclude={"dump": {"dtype"}})["dump"],
            int8=spec.dump.dtype == "int8",
            batch_contexts=DUMPED[place.type],
            profile=profile,
            sharded=bool(sharded),
            n_blocks=blocks,
            seed=spec.seed,
            provenance=provenance,
        )
        made = dump_activations(
            load_asset(asset, model.dtype, place),
            open_tokens(tokens),
            torch.from_numpy(contexts[:CALIBRATION_CONTEXTS]).long(),
            hookpoints_of(model, spec.hookpoints, read_json(asset)["model_type"]),
            storage_at(stores or cache / STORES),
            name,
            settings,
            device=place,
            progress=update,
        )
        store = Store.open(made, rows=blocks * size)
        write_record(out, describe(store, spec), store.storage)
