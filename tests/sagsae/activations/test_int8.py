"""Stores of int8 rows: what is read, what is summed, and what a damage looks like."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import zarr
from activation_samples import block_data, small_config, write_store

from sagsae.activations.layout import StoreError
from sagsae.activations.store import Store, verify_store
from sagsae.activations.stream import ActivationStream
from sagsae.activations.writer import StoreWriter

LAYOUTS = [{}, {"sharded": True}, {"profile": "disk"}]


def read(store: Store, name: str) -> torch.Tensor:
    chunks = range(store.n_chunks(name))
    return torch.cat([store.read_rows_as_tensor(name, chunk) for chunk in chunks]).float()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_come_back_to_half_a_unit_of_their_scale(layout, tmp_path):
    whole = Store.open(write_store(tmp_path / "whole", small_config(**layout)))
    half = Store.open(write_store(tmp_path / "half", small_config(int8=True, **layout)))
    assert half.config.dtype == "bfloat16"
    for name in half.config.hookpoints:
        rows, kept = read(whole, name), read(half, name)
        units = rows.view(4, 64, -1).square().mean(1).sqrt().repeat_interleave(64, 0)
        largest = (rows / units).abs().amax(1, keepdim=True)
        step = largest * units / 127
        assert ((kept - rows).abs() <= 0.51 * step + rows.abs() * 2**-8).all()
        assert not torch.equal(kept, rows)
        moments = half.statistics(name)
        np.testing.assert_allclose(moments.mean, kept.double().mean(0), rtol=1e-12, atol=1e-12)
        assert moments.sum_of_squares == pytest.approx(float(kept.double().square().sum()))
    assert half.read_tokens(1)["token_id"].tolist() == whole.read_tokens(1)["token_id"].tolist()
    assert verify_store(tmp_path / "half") == []
    size = half.config.n_blocks * half.config.rows_per_block
    group = zarr.open_group(tmp_path / "half/data.zarr", mode="r")
    units = np.repeat(group["resid.channel"][:], 64, axis=0)
    stored = group["resid"][:].astype(np.float32) * group["resid.scale"][:][:, None] * units
    assert stored.shape == (size, 12)
    np.testing.assert_allclose(stored, read(half, "resid").numpy(), rtol=2**-8)


def test_streams_and_growing_stores_see_the_same_rows(tmp_path):
    config = small_config(int8=True)
    path = write_store(tmp_path / "half", dataclasses.replace(config, n_blocks=2))
    with StoreWriter(path, config) as writer:
        assert verify_store(path) == []  # with room for blocks that are not there yet
        assert writer.pending_blocks() == [2, 3]
        for block in writer.pending_blocks():
            writer.write_block(block, **block_data(config, block))
        writer.seal()
    grown, fresh = Store.open(path), Store.open(write_store(tmp_path / "fresh", config))
    assert grown.digest() == fresh.digest()
    rows = {tuple(row.tolist()) for row in read(grown, "resid")}
    with ActivationStream(grown, "resid", 32, seed=0) as stream:
        drawn = torch.cat([next(stream) for _ in range(8)])
    assert drawn.dtype == torch.bfloat16
    assert {tuple(row.tolist()) for row in drawn.float()} == rows


def test_a_large_channel_leaves_the_others_their_steps(tmp_path):
    config = small_config(int8=True, n_blocks=1)
    data = block_data(config, 0)
    rows = data["activations"]["resid"]
    rows[:, 3] *= 1000
    with StoreWriter(tmp_path, config) as writer:
        writer.write_block(0, **data)
    kept = read(Store.open(tmp_path, require_sealed=False), "resid")
    order = Store.open(tmp_path, require_sealed=False).read_tokens(0)["token_id"]
    noise = (kept - rows[order.tolist()]).square().mean(0) / rows.square().mean(0)
    assert noise.max() < 3e-4


@pytest.mark.parametrize(
    ("name", "which", "rows"),
    [("resid", 5, "80 to 95"), ("resid.scale", 5, "80 to 95"), ("resid.channel", 1, "1 to 1")],
)
def test_a_damaged_chunk_is_named(name, which, rows, tmp_path):
    path = write_store(tmp_path / "half", small_config(int8=True))
    file = next((path / "data.zarr" / name).glob(f"c.{which}*"))
    content = bytearray(file.read_bytes())
    content[3] ^= 1
    file.write_bytes(content)
    with pytest.raises(StoreError, match=f"'{name}' rows {rows}"):
        read(Store.open(path), "resid")
    (fault,) = verify_store(path)
    assert f"'{name}' rows {rows}" in fault


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_rows_that_are_not_finite_are_refused(value, tmp_path):
    config = small_config(int8=True)
    data = block_data(config, 0)
    data["activations"]["resid"][5, 2] = value
    with StoreWriter(tmp_path, config) as writer:
        with pytest.raises(StoreError, match="'resid' gives NaN or infinity"):
            writer.write_block(0, **data)
        data["activations"]["resid"][5] = 0
        writer.write_block(0, **data)
    kept = Store.open(tmp_path, require_sealed=False, rows=64)
    assert (read(kept, "resid") == 0).all(1).sum() == 1


def test_a_store_of_other_rows_keeps_its_name():
    assert "int8" not in small_config().to_json()
    assert small_config(int8=True).digest() != small_config().digest()
    with pytest.raises(ValueError, match=r"hookpoint name 'l5\.scale'"):
        small_config(hookpoints={"l5.scale": 8})
    with pytest.raises(ValueError, match="int8 rows are read as bfloat16, not as float32"):
        small_config(int8=True, dtype="float32")
