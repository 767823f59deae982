"""What is written is what is read, by this package and by Zarr alone; writing is repeatable."""

from __future__ import annotations

import fcntl
import math

import numpy as np
import pytest
import torch
from activation_samples import block_data, contents, small_config, write_store

from sagsae.activations.layout import StoreConfig, StoreError, StoreLockedError
from sagsae.activations.store import Store, verify_store
from sagsae.activations.stream import iterate
from sagsae.activations.writer import StoreWriter


def expected_rows(config: StoreConfig, name: str) -> torch.Tensor:
    """All rows of a `write_store` store, computed without it."""
    dtype, blocks = getattr(torch, config.dtype), []
    for block in range(config.n_blocks):
        rng = np.random.default_rng([config.seed, block])
        order = torch.from_numpy(rng.permutation(config.rows_per_block))
        blocks.append(block_data(config, block)["activations"][name].to(dtype)[order])
    return torch.cat(blocks)


def test_a_store_prints_what_it_holds(make_store):
    store = Store.open(make_store())
    found = repr(store)
    assert str(store.path) in found
    for part in ("attn [256, 8]", "resid [256, 12]", "bfloat16"):
        assert part in found


VARIANTS = [{}, {"profile": "disk"}, {"dtype": "float32"}]
VARIANTS += [{"profile": "disk", "dtype": "float32"}]


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("sharded", [False, True])
def test_round_trip(make_store, changes, sharded):
    changes = changes | {"sharded": sharded}
    store = Store.open(make_store(**changes))
    assert store.config == small_config(**changes)
    assert (store.n_rows, store.n_chunks("attn"), store.width("resid")) == (256, 16, 12)
    for name in store.config.hookpoints:
        want = expected_rows(store.config, name)
        got = torch.cat([store.read_rows_as_tensor(name, i) for i in range(16)])
        assert got.dtype == want.dtype
        assert torch.equal(got, want)
        assert torch.equal(torch.cat(list(iterate(store, name, 23))), want)
        files = [p for p in (store.path / "data.zarr" / name).iterdir() if p.name[0] == "c"]
        assert len(files) == (4 if sharded else 16)
    assert verify_store(store.storage) == []


@pytest.mark.parametrize("changes", VARIANTS)
def test_statistics_against_float64(make_store, changes):
    store = Store.open(make_store(**changes))
    for name in store.config.hookpoints:
        x = expected_rows(store.config, name).double().numpy()
        norms = np.linalg.norm(x, axis=1)
        got = store.statistics(name)
        assert got.count == 256
        np.testing.assert_allclose(got.mean, x.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(got.scale, 1 / math.sqrt((norms**2).mean()), rtol=1e-12)
        np.testing.assert_allclose(got.mean_norm, norms.mean(), rtol=1e-12)
        np.testing.assert_allclose(got.max_norm, norms.max(), rtol=1e-12)
    assert store.dropped == {"first_position": 12, "norm": 6}


def test_a_row_of_fill_bits_elsewhere_or_zeros_is_stored(tmp_path):
    config = small_config(n_blocks=1)
    data = block_data(config, 0)
    data["activations"]["attn"].zero_()
    with StoreWriter(tmp_path / "s", config) as writer:
        writer.write_block(0, **data)
        writer.seal()
    store = Store.open(tmp_path / "s")
    assert not store.read_rows_as_tensor("attn", 3).any()
    assert store.statistics("attn").scale == math.inf


def test_unfinished_store_reads_committed_blocks_only(tmp_path):
    path, config = tmp_path / "s", small_config()
    with StoreWriter(path, config) as writer:
        for block in (2, 0):
            writer.write_block(block, **block_data(config, block))
        assert writer.pending_blocks() == [1, 3]
        with pytest.raises(StoreError, match="lacks 2 of 4 blocks"):
            writer.seal()
        with pytest.raises(ValueError, match="committed already"):
            writer.write_block(2, **block_data(config, 2))
    with pytest.raises(StoreError, match="0 rows are sealed, the dump is not finished"):
        Store.open(path)
    store = Store.open(path, require_sealed=False)
    assert (store.n_rows, store.n_chunks("attn"), store.blocks) == (128, 8, [0, 2])
    want = expected_rows(config, "attn")
    got = torch.cat([store.read_rows_as_tensor("attn", i) for i in range(8)])
    assert torch.equal(got, torch.cat([want[:64], want[128:192]]))


def test_resume_removes_leftovers_and_gives_the_same_bytes(tmp_path):
    path, config = tmp_path / "s", small_config()
    with StoreWriter(path, config) as writer:
        writer.write_block(1, **block_data(config, 1))
    chunk = path / "data.zarr" / "attn" / "c.0.0"
    chunk.write_bytes(b"torn, and without a commit")
    half = path / "commits" / ".000002.json.9.partial"
    for leftover in (chunk.with_name("c.0.1234.partial"), half):
        leftover.write_bytes(b"half")
    with StoreWriter(path, config) as writer:
        assert writer.pending_blocks() == [0, 2, 3]
        assert not [name for name in contents(path) if name.endswith(".partial")]
    assert contents(write_store(path, config)) == contents(write_store(tmp_path / "t", config))


def test_another_configuration_is_refused_by_key(make_store):
    path = make_store()
    before = contents(path)
    other = small_config(seed=8, provenance={"model": {"id": "tiny", "revision": "v2"}})
    with pytest.raises(StoreError) as error, StoreWriter(path, other):
        pass
    assert "seed: 7 -> 8" in str(error.value)
    assert "'v2'" in str(error.value)
    assert "dtype" not in str(error.value)
    assert contents(path) == before


def test_a_lock_of_somebody_else_refuses(make_store):
    path = make_store()
    with (path / ".lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with (
            pytest.raises(StoreLockedError, match="in use by another process"),
            StoreWriter(path, small_config()),
        ):
            pass
    with StoreWriter(path, small_config()) as writer:
        assert writer.pending_blocks() == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_values_are_refused(tmp_path, value):
    config = small_config()
    data = block_data(config, 1)
    data["activations"]["resid"][37, 3] = value
    with StoreWriter(tmp_path / "s", config) as writer:
        document = data["doc_id"][37]
        with pytest.raises(StoreError, match=f"'resid'.*document {document};"):
            writer.write_block(1, **data)
        assert writer.pending_blocks() == [0, 1, 2, 3]


def test_wrong_shapes_and_names_are_refused(tmp_path):
    config = small_config()
    with StoreWriter(tmp_path / "s", config) as writer:
        for change in (
            {"doc_id": np.zeros(63, np.int32)},
            {"activations": {"attn": torch.zeros(64, 8)}},
            {"activations": {"attn": torch.zeros(64, 8), "resid": torch.zeros(64, 8)}},
        ):
            with pytest.raises(ValueError, match="the store needs"):
                writer.write_block(0, **(block_data(config, 0) | change))
    with pytest.raises(ValueError, match="not open"):
        writer.write_block(0, **block_data(config, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows_per_chunk": 24}, "multiple"),
        ({"hookpoints": {}}, "no hookpoints"),
        ({"hookpoints": {"a/b": 3}}, "letters"),
        ({"hookpoints": {"token_id": 3}}, "token_id"),
        ({"dtype": "float16"}, "float16"),
        ({"profile": "fast"}, "fast"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_configurations_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        small_config(**change)
