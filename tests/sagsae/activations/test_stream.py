"""Shuffled streams: each row once an epoch, the same batches always, from any point."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from activation_samples import small_config
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset

from sagsae.activations.store import Store
from sagsae.activations.stream import ActivationStream, chunk_groups, iterate
from sagsae.activations.transfers import SideStream
from sagsae.activations.writer import StoreWriter


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """256 rows whose first value is the row's number (exact in bfloat16 up to 256)."""
    config = small_config(hookpoints={"attn": 2}, n_blocks=4)
    path = tmp_path_factory.mktemp("stream") / "s"
    with StoreWriter(path, config) as writer:
        for block in range(4):
            number = torch.arange(block * 64, (block + 1) * 64)
            rows = torch.stack([number, number // 16], dim=1).float()
            zeros = number.numpy()
            writer.write_block(block, {"attn": rows}, zeros, zeros, zeros, {}, {})
        writer.seal()
    return Store.open(path)


def take(store: Store, rows: int, batch: int, **settings: int) -> list[int]:
    """The numbers of the first rows of a stream."""
    with ActivationStream(store, "attn", batch, **settings) as stream:
        batches = list(islice(stream, -(-rows // batch)))
    assert all(b.shape == (batch, 2) and b.dtype == torch.bfloat16 for b in batches)
    return torch.cat(batches)[:rows, 0].int().tolist()


@settings(max_examples=25)
@given(st.integers(1, 600), st.integers(1, 20), st.integers(1, 3), st.integers(0, 99))
def test_each_epoch_has_each_row_once(store, batch, group_chunks, prefetch, seed):
    rows = take(store, 768, batch, seed=seed, group_chunks=group_chunks, prefetch=prefetch)
    epochs = [rows[i : i + 256] for i in (0, 256, 512)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(256))
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_order_is_the_documented_one(store):
    expected: list[torch.Tensor] = []
    for epoch in range(2):
        for i, group in enumerate(chunk_groups(store, "attn", 5, epoch, 6)):
            rows = torch.cat([store.read_rows_as_tensor("attn", chunk) for chunk in group])
            expected.append(rows[np.random.default_rng([5, epoch, i]).permutation(len(rows))])
    want = torch.cat(expected)[:, 0].int().tolist()
    assert take(store, 512, 50, seed=5, group_chunks=6) == want


def test_rows_that_fit_on_a_gpu_are_read_once_and_come_in_the_same_order(store, monkeypatch):
    expected = take(store, 900, 50, seed=5, group_chunks=3)
    deliver, read = SideStream.deliver, Store.read_chunks
    chunks = Counter()

    def copied(self, *tensors):
        return [x.clone() for x in deliver(self, *tensors)]

    def counted(self, hookpoint, wanted, out):
        chunks.update(wanted)
        read(self, hookpoint, wanted, out)

    monkeypatch.setattr(SideStream, "deliver", copied)  # as a card has memory of its own
    monkeypatch.setattr(SideStream, "fits", lambda self, size: size == store.n_rows * 4)
    monkeypatch.setattr(Store, "read_chunks", counted)
    assert take(store, 900, 50, seed=5, group_chunks=3) == expected
    assert chunks == Counter(range(store.n_chunks("attn")))


@settings(max_examples=20)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 120), st.integers(1, 20))
def test_resumed_streams_replay_the_same_batches(store, before, elsewhere, batch, group_chunks):
    arguments = {"hookpoint": "attn", "batch_size": batch, "seed": 3, "group_chunks": group_chunks}
    with ActivationStream(store, **arguments) as stream:
        list(islice(stream, before))
        state = json.loads(json.dumps(stream.state()))
        expected = list(islice(stream, 12))
    with ActivationStream(store, **arguments) as resumed:
        for _ in range(3):  # in the middle of a group, so that its buffer must come back
            list(islice(resumed, elsewhere))
            resumed.load_state(state)
        assert resumed.state() == state
        got = list(islice(resumed, 12))
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_a_state_of_another_stream_is_refused(store):
    with ActivationStream(store, "attn", 8, seed=3) as stream:
        state = stream.state()
        for key, value in (("seed", 4), ("group_chunks", 2), ("store", "x"), ("hookpoint", "y")):
            with pytest.raises(ValueError, match=key):
                stream.load_state(state | {key: value})
        stream.load_state(state)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 16])
def test_groups_mix_blocks(store, size):
    for epoch in range(5):
        groups = chunk_groups(store, "attn", 0, epoch, size)
        assert sorted(chunk for group in groups for chunk in group) == list(range(16))
        assert [len(group) for group in groups[:-1]] == [size] * (len(groups) - 1)
        for group in groups:
            blocks = Counter(store.block_of_chunk(chunk) for chunk in group)
            assert max(blocks.values()) == -(-len(group) // 4), "more of one block than needed"
    assert chunk_groups(store, "attn", 0, 0, size) != chunk_groups(store, "attn", 0, 1, size)


@pytest.mark.parametrize("batch", [1, 7, 16, 50, 300])
def test_iterate_is_every_row_once_in_order(store, batch):
    batches = list(iterate(store, "attn", batch))
    assert [len(b) for b in batches[:-1]] == [batch] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= batch
    chunks = [store.read_rows_as_tensor("attn", i) for i in range(16)]
    assert torch.equal(torch.cat(batches), torch.cat(chunks))


def test_a_data_loader_gives_the_same_batches(store):
    with ActivationStream(store, "attn", 20, seed=0) as stream:
        assert isinstance(stream, IterableDataset)
        got = list(islice(DataLoader(stream, batch_size=None), 20))
        with pytest.raises(ValueError, match="use num_workers=0"):
            next(iter(DataLoader(stream, batch_size=None, num_workers=1)))
    with ActivationStream(store, "attn", 20, seed=0) as stream:
        want = list(islice(stream, 20))
    assert torch.equal(torch.stack(got), torch.stack(want))


def test_rows_of_two_hookpoints_come_side_by_side(tmp_path):
    config = small_config(hookpoints={"mlp_in": 2, "mlp_added": 3}, n_blocks=2)
    with StoreWriter(tmp_path / "s", config) as writer:
        for block in range(2):
            number = torch.arange(block * 64, (block + 1) * 64).float()
            rows = {
                "mlp_in": number[:, None].expand(-1, 2),
                "mlp_added": -number[:, None].expand(-1, 3),
            }
            zeros = np.zeros(64, np.int32)
            writer.write_block(block, rows, zeros, zeros, zeros, {}, {})
        writer.seal()
    store = Store.open(tmp_path / "s")
    with ActivationStream(store, "mlp_in", 20, seed=0, target="mlp_added") as pairs:
        batches = list(islice(pairs, 16))
        other = pairs.state() | {"hookpoint": "mlp_in"}
        with pytest.raises(ValueError, match="taken elsewhere"):
            pairs.load_state(other)
    with ActivationStream(store, "mlp_in", 20, seed=0) as alone:
        for batch, x in zip(batches, islice(alone, 16), strict=True):
            assert torch.equal(batch, torch.cat([x, -x[:, :1].expand(-1, 3)], 1))
    rows = torch.cat(list(iterate(store, "mlp_in", 50, "mlp_added")))
    assert torch.equal(rows[:, 0].sort().values, torch.arange(128).bfloat16())
    assert torch.equal(rows[:, 2:], -rows[:, :1].expand(-1, 3))
