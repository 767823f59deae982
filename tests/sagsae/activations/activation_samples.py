"""Tiny models of the study's two architectures, token stores and small real stores."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedModel,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from sagsae.activations import StoreConfig, StoreWriter, TokenStore
from sagsae.storage import Location

VOCABULARY, LAYERS, HIDDEN = 97, 4, 32

_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}


def tiny_model(family: str) -> PreTrainedModel:
    """A random model of 4 layers; weights large enough that every module matters."""
    torch.manual_seed(0)
    if family == "gpt_neox":
        model = GPTNeoXForCausalLM(GPTNeoXConfig(**_SIZES, initializer_range=0.2))
    else:
        config = SmolLM3Config(**_SIZES, num_key_value_heads=2, initializer_range=0.2)
        model = SmolLM3ForCausalLM(config)
    return model.eval()


def random_tokens(n_contexts: int, length: int = 16, seed: int = 0) -> TokenStore:
    """Random contexts; document i is context i."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, VOCABULARY, (n_contexts, length), dtype=np.int32)
    docs = np.repeat(np.arange(n_contexts, dtype=np.int32)[:, None], length, axis=1)
    return TokenStore(ids, docs, {"vocab_size": VOCABULARY})


def small_config(**changes: object) -> StoreConfig:
    """Two hookpoints, 4 blocks of 64 rows in 4 chunks."""
    values: dict = {
        "hookpoints": {"attn": 8, "resid": 12},
        "rows_per_chunk": 16,
        "rows_per_block": 64,
        "n_blocks": 4,
        "seed": 7,
        "provenance": {"model": {"id": "tiny", "revision": "main"}},
    }
    return StoreConfig(**(values | changes))


def block_data(config: StoreConfig, block: int) -> dict:
    """Arguments of `write_block`; a row's first token array is its index in the whole store."""
    generator = torch.Generator().manual_seed(block)
    size = config.rows_per_block
    rows = np.arange(block * size, (block + 1) * size, dtype=np.int32)
    return {
        "activations": {
            name: torch.randn(size, d, generator=generator) + 0.5
            for name, d in config.hookpoints.items()
        },
        "token_id": rows,
        "doc_id": rows // 10,
        "position": rows % 10,
        "cursor": {"first_context": block},
        "dropped": {"first_position": 3, "norm": block},
    }


Where = TypeVar("Where", bound=Location)


def write_store(path: Where, config: StoreConfig, seal: bool = True) -> Where:
    """A full store of `block_data`."""
    with StoreWriter(path, config) as writer:
        for block in writer.pending_blocks():
            writer.write_block(block, **block_data(config, block))
        if seal:
            writer.seal()
    return path


def contents(path: Path) -> dict[str, bytes]:
    """Every file of a store, by relative path."""
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
