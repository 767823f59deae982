"""What int8 rows cost: autoencoders trained on them beside those trained on bfloat16 rows.

    python -m benchmarks.int8 MODEL TEXTS [--rows 819200] [--seeds 3]

TEXTS is a Parquet file with documents in its column "text". Both stores hold the same rows of
SmolLM2's layer 15, and every autoencoder is judged on the same bfloat16 rows of other documents.
SQNR is in decibels, of a row less the mean.
"""

from __future__ import annotations

import argparse
import itertools
import math
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

import sagsae
from benchmarks.interleaved import table
from sagsae.activations.arrays import as_tensor, quantised, restored

LAYER, K, WIDTH = 15, 32, 4
NAMES = ("resid", "mlp_out")
HELDOUT_ROWS, CONTEXTS, LENGTH = 65536, 64, 128
KINDS = ("bfloat16", "int8")


def contexts(tokenizer: Any, texts: list[str]) -> Tensor:
    """[CONTEXTS, LENGTH] tokens of some documents."""
    ids = itertools.chain.from_iterable(tokenizer(text).input_ids for text in texts)
    return torch.tensor(list(itertools.islice(ids, CONTEXTS * LENGTH))).view(CONTEXTS, LENGTH)


def decibels(stores: dict[str, sagsae.Store], name: str, chunks: int = 64) -> tuple[float, float]:
    """Signal over error of what is read, and of int8 with a scale a row and no more."""
    mean = torch.from_numpy(stores["bfloat16"].statistics(name).mean).float()
    signal = stored = plain = 0.0
    for chunk in range(chunks):
        bits = stores["bfloat16"].read_chunk(name, chunk)
        x = as_tensor(bits).float()
        unit = torch.ones(1, x.shape[1]).numpy()
        by_row = as_tensor(restored(*quantised(bits, unit), unit, bits.copy())).float()
        read = stores["int8"].read_rows_as_tensor(name, chunk).float()
        signal += float((x - mean).square().sum())
        stored += float((x - read).square().sum())
        plain += float((x - by_row).square().sum())
    return 10 * math.log10(signal / stored), 10 * math.log10(signal / plain)


def spread(values: Sequence[float]) -> str:
    """Mean, lowest and highest."""
    return f"{sum(values) / len(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def split(file: Path, rows: int) -> tuple[list[str], list[str]]:
    """Documents for judging, and for training on so many rows: a token is 4 characters or so."""
    judging, training, size = list[str](), list[str](), 0
    for text in pd.read_parquet(file)["text"]:
        size += len(text)
        (judging if size < 8 * HELDOUT_ROWS else training).append(text)
        if size > 8 * HELDOUT_ROWS + 6 * rows:
            break
    return judging, training


def trained(store: sagsae.Store, name: str, rows: int, seed: int) -> sagsae.Autoencoder:
    """BatchTopK, as the studies of this project train it."""
    recipe: dict[str, Any] = {"tokens": rows, "clip_gradient_norm": 1.0, "b_dec_init": "mean"}
    recipe["dead_window_tokens"] = 250_000  # AuxK acts in runs this short, too
    width = WIDTH * store.width(name)
    found = sagsae.train(store, "batchtopk", width, k=K, hookpoint=name, seed=seed, **recipe)
    return found.autoencoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", help="folder of the language model")
    parser.add_argument("texts", type=Path)
    parser.add_argument("--rows", type=int, default=819200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the stores go; default: temporary")
    options = parser.parse_args()
    model = sagsae.load_language_model(options.model)
    tokenizer = sagsae.load_tokenizer(options.model)
    judging, training = split(options.texts, options.rows)
    dumped = partial(sagsae.dump, model, tokenizer=tokenizer, layer=LAYER, max_norm_ratio=10)
    ids, lines = contexts(tokenizer, judging), []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        held = dumped(judging, NAMES, Path(folder) / "held")
        stores = {
            kind: dumped(training, NAMES, Path(folder) / kind, int8=kind == "int8")
            for kind in KINDS
        }
        for name, kind in itertools.product(NAMES, KINDS):
            point = sagsae.default_hookpoints(model.config.model_type, LAYER)[name]
            found = []
            for seed in range(options.seeds):
                sae = trained(stores[kind], name, options.rows, seed)
                judged = sagsae.evaluate(sae, held, name)
                losses = sagsae.loss_recovered(model, ids, sae, point)
                nats = losses.sae.mean - losses.clean.mean
                found.append((judged.r2, nats, judged.dead_fraction))
                print(name, kind, seed, *found[-1], flush=True)
            errors = decibels(stores, name) if kind == "int8" else ()
            lines.append([name, kind, *map(spread, zip(*found, strict=True))])
            lines[-1] += [f"{error:.1f}" for error in errors] or ["", ""]
    heads = ["hookpoint", "rows", "R2", "nats lost", "dead", "SQNR", "SQNR, a scale a row alone"]
    print(table(heads, lines))


if __name__ == "__main__":
    main()
