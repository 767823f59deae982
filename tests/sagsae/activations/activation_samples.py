"""Token stores and small real stores."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from sagsae.activations.layout import StoreConfig
from sagsae.activations.storage import Location
from sagsae.activations.tokens import TokenStore
from sagsae.activations.writer import StoreWriter
from tests.sagsae.evaluation.samples import VOCABULARY


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
