"""The comparison of both steps on a small store of sparse rows."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks import step_equivalence
from benchmarks.ours import sparse_batches
from sagsae.activations import StoreConfig, StoreWriter

ROWS, D = 256, 16


def sparse_store(path, seed):
    """Four blocks of signed sparse directions."""
    config = StoreConfig(
        hookpoints={"resid": D},
        rows_per_chunk=64,
        rows_per_block=ROWS,
        n_blocks=4,
        seed=seed,
        provenance={"model": {"id": "none"}},
    )
    with StoreWriter(path, config) as writer:
        for block, rows in enumerate(sparse_batches(4, ROWS, D, seed)):
            numbers = np.arange(ROWS, dtype=np.int32)
            writer.write_block(
                block,
                activations={"resid": rows},
                token_id=numbers,
                doc_id=numbers,
                position=numbers,
                cursor={"first_context": block},
                dropped={"first_position": 0, "norm": 0},
            )
        writer.seal()
    return path


@pytest.fixture
def stores(tmp_path):
    return sparse_store(tmp_path / "train", 0), sparse_store(tmp_path / "heldout", 1)


def test_both_steps_and_their_spread_are_printed(stores, monkeypatch, capsys):
    arguments = ["resid", "--width", "32", "--lam", "0.02", "--tokens", "12800", "--batch", "64"]
    monkeypatch.setattr("sys.argv", ["step_equivalence", *map(str, stores), *arguments])
    step_equivalence.main()
    printed = capsys.readouterr().out
    for name in ("R2", "L0"):
        gap, most, spread = map(
            float,
            re.search(
                rf"{name}: fast less plain (\S+) on average, (\S+) at most; .* seeds (\S+)", printed
            ).groups(),
        )
        assert abs(gap) <= abs(most) <= spread
        assert spread > 0
    assert printed.count("\n| ") == 5
