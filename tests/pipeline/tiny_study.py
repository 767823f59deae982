"""A study of one tiny random model whose stages up to the activation stores are done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.data.baselines import main as run_baselines
from pipeline.data.manifests import describe, hookpoints_of
from pipeline.data.random_sources import save_random_model
from pipeline.jobs import cache
from pipeline.jobs.json_files import read_json, write_json
from pipeline.study.specs import BaselineSpec
from pipeline.study.study import Study
from sagsae.activations.dump import dump_activations
from sagsae.activations.language_models import load_language_model
from sagsae.activations.reading import DumpSettings, contexts_per_block
from sagsae.activations.store import Store
from sagsae.activations.tokens import TokenStore, save_tokens
from sagsae.autoencoders.weights import build

HIDDEN, LENGTH, ROWS, CONTEXTS, WIDTH = 32, 16, 256, 10, 48
SLACK, SHORT = 0.3, 5

_PARAMETERS: dict[str, dict[str, Any]] = {
    "gpt_neox": {"num_attention_heads": 4},
    "gemma3_text": {
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 5,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
}


@dataclass
class TinyStudy:
    """Paths of the finished stages."""

    study: Study
    root: Path

    @property
    def asset(self) -> Path:
        return self.root / "asset.json"

    @property
    def tokens(self) -> Path:
        return self.record("heldout")

    def record(self, split: str) -> Path:
        """Of the contexts of a split."""
        return self.root / f"{split}.json"

    def manifest(self, split: str) -> Path:
        return self.root / "manifests" / f"{split}.json"

    def store(self, split: str = "heldout") -> Store:
        return Store.open(next((self.root / "stores").glob(f"tiny-{split}-*")))

    def started(self, variant: str, width: int, seed: int = 0) -> Any:
        """An autoencoder as training at resid finds it at its start."""
        statistics = self.store("train").statistics("resid")
        sae = build(variant, HIDDEN, width, statistics.scale)
        sae.initialise(torch.from_numpy(statistics.mean * statistics.scale), seed=seed)
        return sae

    @property
    def spec(self) -> BaselineSpec:
        return self.study.baseline_spec("tiny")

    def baseline_arguments(self, out: Path) -> dict[str, Any]:
        return {
            "spec": self.spec,
            "asset": self.asset,
            "tokens": self.tokens,
            "train_manifest": self.manifest("train"),
            "heldout_manifest": self.manifest("heldout"),
            "cache": out.with_suffix(".cache"),
            "out": out,
        }


def measured(study: TinyStudy, record: Path) -> Path:
    """Compute the baselines of a study; return the file in the cache that its record names."""
    run_baselines(**study.baseline_arguments(record), device="cpu")
    return cache.entry_folder(record, read_json(record)) / cache.LOSSES


def make_tiny_study(
    root: Path, architecture: str, first_documents: dict[str, int] | None = None
) -> TinyStudy:
    """Model, tokens, both stores and their manifests below ``root``.

    With the first document of each of several sources, documents are `SHORT` tokens long.
    """
    made = TinyStudy(Study.from_dict(_configuration(architecture)), root)
    source = made.study.models["tiny"].source.model_dump() | {
        "parameters": _PARAMETERS[architecture]
        | {"num_hidden_layers": 4, "hidden_size": HIDDEN, "intermediate_size": 64}
        | {"initializer_range": 0.2}
    }
    (root / "model").mkdir()
    save_random_model(source, root / "model")
    write_json(made.asset, {"folder": "model"})
    (root / "manifests").mkdir()
    model = load_language_model(root / "model", torch.bfloat16)
    train = _tokens(0, first_documents)
    for split, tokens in (("train", train), ("heldout", _tokens(1, first_documents))):
        _save(made.record(split), tokens, split)
        _dump(made, model, architecture, tokens, train, split)
    return made


def _configuration(architecture: str) -> dict[str, Any]:
    model = {
        "name": "tiny",
        "source": {"kind": "random", "architecture": architecture},
        "d_model": HIDDEN,
        "layer": 2,
    }
    return {
        "study": "tiny",
        "models": [model],
        "hookpoints": ["mlp_out", "resid"],
        "text": {"source": {"kind": "random"}, "context_length": LENGTH},
        "dump": {
            "train_rows": 2 * ROWS,
            "heldout_rows": 2 * ROWS,
            "rows_per_block": ROWS,
            "rows_per_chunk": 64,
        },
        "grid": [{"variant": "sagsae_tied", "width": WIDTH, "lambdas": [0.1]}],
        "training": {"tokens": 4096},
        "evaluation": {"lr_contexts": CONTEXTS},
    }


def _tokens(seed: int, first_documents: dict[str, int] | None) -> TokenStore:
    contexts = 2 * contexts_per_block(ROWS, LENGTH, slack=SLACK)
    ids = np.random.default_rng(seed).integers(2, 300, (contexts, LENGTH), dtype=np.int32)
    if first_documents is None:
        return TokenStore(ids, np.repeat(np.arange(contexts, dtype=np.int32)[:, None], LENGTH, 1))
    count = -(-ids.size // SHORT)
    order = np.random.default_rng([seed, 1]).permutation(count).astype(np.int32)
    docs = np.repeat(order, SHORT)[: ids.size].reshape(ids.shape)
    named = [{"name": k, "first_document": v} for k, v in first_documents.items()]
    return TokenStore(ids, docs, {"sources": named})


def _save(record: Path, tokens: TokenStore, split: str) -> None:
    entry = record.parent / "tokens" / f"family-of-{split}"
    entry.mkdir(parents=True)
    save_tokens(entry / cache.CONTEXTS, tokens)
    content = {"contexts": tokens.n_contexts, "sha256": tokens.digest(), "family": entry.name}
    cache.write_record(record, content, entry)


def _dump(
    made: TinyStudy,
    model: Any,
    architecture: str,
    tokens: TokenStore,
    train: TokenStore,
    split: str,
) -> None:
    entry = made.study.models["tiny"]
    store = dump_activations(
        model,
        tokens,
        torch.from_numpy(train.input_ids[:8]).long(),
        hookpoints_of(entry, made.study.config.hookpoints, architecture),
        made.root / "stores",
        f"tiny-{split}",
        DumpSettings(
            rows_per_chunk=64,
            rows_per_block=ROWS,
            n_blocks=2,
            seed=0,
            max_norm_ratio=1.3,  # low, so that some positions are dropped
            slack=SLACK,
            batch_contexts=8,
            provenance={"tokens": f"family-of-{split}", "family": f"store-of-{split}"},
        ),
    )
    manifest = describe(Store.open(store), made.study.dump_spec("tiny", split))
    cache.write_record(made.manifest(split), manifest, store)
