"""Stage: one pass of a language model fills an activation store in the cache, and is recorded.

A store serves all studies whose settings differ in the number of rows alone. A study that needs
more rows adds blocks to it; one that needs fewer reads its first blocks.

Sealing a store reads all that is new and needs no GPU. A dump under a lease gives the GPU back
first: it becomes the stage ``seal``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from pipeline.activations.hookpoints import hookpoints_of
from pipeline.activations.manifests import describe
from pipeline.assets.fetch import load_asset
from pipeline.assets.tokenise import open_tokens
from pipeline.config.specs import DumpSpec
from pipeline.config.study_config import StoreLayout
from pipeline.jobs.cache import STORES, Entry, using, write_record
from pipeline.jobs.gpu_lease import become_without_gpu, is_leased
from pipeline.jobs.json_files import canonical, digest, read_json
from pipeline.jobs.progress import Progress
from pipeline.jobs.stage import Device, device_of
from sagsae.activations import DumpProgress, DumpSettings, Store, StoreError, dump_activations
from sagsae.activations.layout import RUN, StoreConfig


def provenance_of(
    spec: DumpSpec, asset: dict[str, Any], tokens: str, calibration_tokens: str
) -> dict[str, Any]:
    """What names the model and the text of a dump.

    Args:
        spec: Of the dump.
        asset: Content of asset.json.
        tokens: Family of the contexts.
        calibration_tokens: Family of those behind the median norms.

    Returns:
        The provenance; its ``family`` is a digest of all that determines the rows but their number.
    """
    named = {
        "model": spec.model.name,
        "layer": spec.model.layer,
        "model_dtype": spec.model.dtype,
        "split": spec.split,
        "weights_sha256": asset["weights_sha256"],
        "tokenizer_sha256": asset["tokenizer_sha256"],
        "revision": asset["resolved_revision"],
        "tokens": tokens,
        "torch": torch.__version__.split("+")[0],
    }
    determined = spec.model_dump(exclude={"rows", "tokens", "calibration_tokens"})
    family = digest(determined | {"calibration_tokens": calibration_tokens, "named": named})
    return named | {"family": family}


def settings_of(spec: DumpSpec, provenance: dict[str, Any]) -> DumpSettings:
    """The library's settings for a dump."""
    layout = StoreLayout.model_fields.keys() - {"calibration_contexts"}
    return DumpSettings(
        **spec.dump.model_dump(include=set(layout)),
        n_blocks=spec.rows // spec.dump.rows_per_block,
        seed=spec.seed,
        provenance=provenance,
    )


def find_store(stores: Path, family: str, rows: int) -> Store | None:
    """The first rows of the store of a family, if they are all there, verified and sound."""
    for file in stores.glob(f"*/{RUN}"):
        try:
            if StoreConfig.read(file.parent).provenance.get("family") == family:
                return Store.open(file.parent, rows=rows)
        except StoreError:  # whoever dumps it mends it, or says what is wrong
            continue
    return None


def main(
    spec: DumpSpec,
    asset: Path,
    tokens: Path,
    calibration_tokens: Path,
    cache: Path,
    out: Path,
    device: Device = "auto",
) -> None:
    """Dump the rows that the cache does not have yet, and record the store.

    Args:
        spec: DumpSpec as JSON
        asset: asset.json of the model
        tokens: record of the contexts of this split
        calibration_tokens: record of the contexts of the train split
        cache: folder of the cache
        out: manifest to write
        device: where to compute; auto: a GPU where there is one
    """
    found, entry = read_json(asset), spec.model
    if found["d_model"] != entry.d_model:
        raise ValueError(
            f"model {entry.name}: d_model is {entry.d_model} in the configuration "
            f"and {found['d_model']} in the model: correct models[].d_model"
        )
    families = (read_json(record)["family"] for record in (tokens, calibration_tokens))
    provenance = provenance_of(spec, found, *families)
    rows = spec.rows // spec.dump.rows_per_block * spec.dump.rows_per_block
    cached = Entry(cache, STORES, provenance["family"])
    with using(asset, tokens, calibration_tokens), cached.used():
        store = find_store(cache / STORES, cached.key, rows)
        if store is None:
            with cached.making():
                path = _dump(spec, asset, tokens, calibration_tokens, cache, provenance, device)
            if is_leased():
                stage = [sys.executable, "-m", "pipeline", "seal", "--spec", canonical(spec)]
                become_without_gpu([*stage, "--store", str(path), "--out", str(out)])
            store = Store.open(path, rows=rows)
        write_record(out, describe(store, spec), store.path)


def _dump(
    spec: DumpSpec,
    asset: Path,
    tokens: Path,
    calibration_tokens: Path,
    cache: Path,
    provenance: dict[str, Any],
    device: Device,
) -> Path:
    """Fill the store up to the rows of the specification."""
    name, entry, place = f"{spec.model.name}-{spec.split}", spec.model, device_of(device)
    progress = Progress(f"dump {name}", spec.rows, "rows")

    def report(at: DumpProgress) -> None:
        done = at.blocks_done * spec.dump.rows_per_block
        progress.update(done, f"{at.tokens_per_second:,.0f} model tokens/s")

    calibration = open_tokens(calibration_tokens).input_ids[: spec.dump.calibration_contexts]
    return dump_activations(
        load_asset(asset, entry.dtype, place),
        open_tokens(tokens),
        torch.from_numpy(calibration).long(),
        hookpoints_of(entry, spec.hookpoints, read_json(asset)["model_type"]),
        cache / STORES,
        name,
        settings_of(spec, provenance),
        device=place,
        seal=not is_leased(),
        progress=report,
    )
