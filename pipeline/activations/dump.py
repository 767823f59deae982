"""Stage: one pass of a language model fills one activation store; a manifest is written last.

Sealing a store reads all of it and needs no GPU. A dump under a lease gives the GPU back first: it
becomes the stage ``seal``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from pipeline.activations.hookpoints import hookpoints_of
from pipeline.activations.manifests import describe
from pipeline.assets.fetch import load_asset
from pipeline.config.specs import DumpSpec
from pipeline.config.study_config import StoreLayout
from pipeline.jobs.gpu_lease import become_without_gpu, is_leased
from pipeline.jobs.json_files import canonical, digest, read_json, write_json
from pipeline.jobs.progress import Progress
from pipeline.jobs.stage import Device, device_of, locked
from sagsae.activations import DumpProgress, DumpSettings, Store, dump_activations, load_tokens


def settings_of(spec: DumpSpec, asset: dict[str, Any]) -> DumpSettings:
    """The library's settings for a dump; everything that names its inputs goes along."""
    layout = StoreLayout.model_fields.keys() - {"calibration_contexts"}
    return DumpSettings(
        **spec.dump.model_dump(include=set(layout)),
        n_blocks=spec.rows // spec.dump.rows_per_block,
        seed=spec.seed,
        provenance={
            "model": spec.model.name,
            "layer": spec.model.layer,
            "model_dtype": spec.model.dtype,
            "split": spec.split,
            "weights_sha256": asset["weights_sha256"],
            "tokenizer_sha256": asset["tokenizer_sha256"],
            "revision": asset["resolved_revision"],
            "tokens": spec.tokens,
            "spec": digest(spec),
            "torch": torch.__version__.split("+")[0],
        },
    )


def main(
    spec: DumpSpec,
    asset: Path,
    tokens: Path,
    calibration_tokens: Path,
    acts_root: Path,
    out: Path,
    device: Device = "auto",
) -> None:
    """Fill or finish the store, and describe it.

    Args:
        spec: DumpSpec as JSON
        asset: asset.json of the model
        tokens: packed contexts of this split
        calibration_tokens: contexts of the train split
        acts_root: folder of stores
        out: manifest to write
        device: where to compute; auto: a GPU where there is one
    """
    found, entry, place = read_json(asset), spec.model, device_of(device)
    if found["d_model"] != entry.d_model:
        raise ValueError(
            f"model {entry.name}: d_model is {entry.d_model} in the configuration "
            f"and {found['d_model']} in the model: correct models[].d_model"
        )
    name = f"{entry.name}-{spec.split}"
    progress = Progress(f"dump {name}", spec.rows, "rows")

    def report(at: DumpProgress) -> None:
        rows = spec.dump.rows_per_block
        progress.update(at.blocks_done * rows, f"{at.tokens_per_second:,.0f} model tokens/s")

    with locked(out.parent, out.stem):
        calibration = load_tokens(calibration_tokens).input_ids[: spec.dump.calibration_contexts]
        store = dump_activations(
            load_asset(asset, entry.dtype, place),
            load_tokens(tokens),
            torch.from_numpy(calibration).long(),
            hookpoints_of(entry, spec.hookpoints, found["model_type"]),
            acts_root,
            name,
            settings_of(spec, found),
            device=place,
            seal=not is_leased(),
            progress=report,
        )
        if is_leased():
            stage = [sys.executable, "-m", "pipeline", "seal", "--spec", canonical(spec)]
            become_without_gpu([*stage, "--store", str(store), "--out", str(out)])
        write_json(out, describe(Store.open(store), spec, out))
