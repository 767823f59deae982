"""Small real stores whose rows are sparse signed sums of known directions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sagsae.activations.layout import StoreConfig
from sagsae.activations.store import Store
from sagsae.activations.writer import StoreWriter

WIDTH, DIRECTIONS = 32, 48


def sparse_rows(n: int, seed: int) -> torch.Tensor:
    """[n, WIDTH] float32: about three of 48 fixed directions a row, with either sign."""
    directions = torch.randn(DIRECTIONS, WIDTH, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randn(n, DIRECTIONS, generator=generator)
    codes *= torch.rand(n, DIRECTIONS, generator=generator) < 3 / DIRECTIONS
    return codes @ directions + 0.1 * torch.randn(n, WIDTH, generator=generator) + 0.2


def sparse_store(path: Path, seed: int, blocks: int = 8, sign: float = 1.0) -> Store:
    """A sealed store of 512 such rows a block, times a sign, at the hookpoint ``resid``."""
    config = StoreConfig(
        hookpoints={"resid": WIDTH},
        rows_per_chunk=256,
        rows_per_block=512,
        n_blocks=blocks,
        seed=seed,
        provenance={"model": {"id": "none"}, "family": "none"},
    )
    with StoreWriter(path, config) as writer:
        for block in writer.pending_blocks():
            rows = np.arange(512, dtype=np.int32)
            writer.write_block(
                block,
                activations={"resid": sign * sparse_rows(512, 100 * seed + block)},
                token_id=rows,
                doc_id=rows,
                position=rows,
                cursor={"first_context": block},
                dropped={},
            )
        writer.seal()
    return Store.open(path)
