"""Stage: one pass of a language model fills one activation store; a manifest is written last."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from pipeline.activations.hookpoints import hookpoints_of
from pipeline.activations.manifests import describe
from pipeline.config.specs import DumpSpec
from pipeline.jobs.json_files import digest, read_json, write_json
from pipeline.jobs.progress import Progress
from pipeline.jobs.stage import device_argument, device_of, locked
from sagsae.activations import (
    DumpProgress,
    DumpSettings,
    Store,
    dump_activations,
    load_tokens,
)
from sagsae.language_models import load_language_model


def settings_of(spec: DumpSpec, asset: dict[str, Any]) -> DumpSettings:
    """The library's settings for a dump; everything that names its inputs goes along."""
    dump = spec.dump
    return DumpSettings(
        rows_per_chunk=dump.rows_per_chunk,
        rows_per_block=dump.rows_per_block,
        n_blocks=spec.rows // dump.rows_per_block,
        seed=spec.seed,
        profile=dump.profile,
        max_norm_ratio=dump.max_norm_ratio,
        slack=dump.slack,
        batch_contexts=dump.batch_contexts,
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


def dump(spec: DumpSpec, args: argparse.Namespace) -> dict[str, Any]:
    """Fill or finish the store and describe it."""
    asset = read_json(args.asset)
    model_spec, device = spec.model, device_of(args.device)
    if asset["d_model"] != model_spec.d_model:
        raise ValueError(
            f"model {model_spec.name}: d_model is {model_spec.d_model} in the configuration "
            f"and {asset['d_model']} in the model: correct models[].d_model"
        )
    folder = Path(args.asset).parent / asset["folder"]
    model = load_language_model(folder, getattr(torch, model_spec.dtype), device)
    tokens, calibration = load_tokens(Path(args.tokens)), load_tokens(Path(args.calibration_tokens))
    name = f"{model_spec.name}-{spec.split}"
    progress = Progress(f"dump {name}", spec.rows, "rows")

    def report(at: DumpProgress) -> None:
        rows = spec.dump.rows_per_block
        progress.update(at.blocks_done * rows, f"{at.tokens_per_second:,.0f} model tokens/s")

    store_path = dump_activations(
        model,
        tokens,
        torch.from_numpy(calibration.input_ids[: spec.dump.calibration_contexts]).long(),
        hookpoints_of(model_spec, spec.hookpoints, asset["model_type"]),
        Path(args.acts_root),
        name,
        settings_of(spec, asset),
        device=device,
        progress=report,
    )
    return describe(Store.open(store_path), spec, Path(args.out))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the stage."""
    DumpSpec.add_to(parser)
    parser.add_argument("--asset", required=True, help="asset.json of the model")
    parser.add_argument("--tokens", required=True, help="packed contexts of this split")
    parser.add_argument("--calibration-tokens", required=True, help="contexts of the train split")
    parser.add_argument("--acts-root", required=True, help="folder of stores")
    device_argument(parser)
    parser.add_argument("--out", required=True, help="manifest to write")


def main(options: argparse.Namespace) -> None:
    """Run the stage."""
    out = Path(options.out)
    with locked(out.parent, out.stem):
        write_json(out, dump(options.spec, options))
