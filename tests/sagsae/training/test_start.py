"""What a run on a store starts from: the mean in normalised units, and the seed's own order."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from sagsae.activations import Store
from sagsae.activations.stream import iterate
from sagsae.api import opened_trainer
from sagsae.schedules import Recipe
from tests.sagsae.samples import sparse_store

RECIPE = Recipe(steps=4, batch_size=128, lam=0.02, learning_rate=1e-3)


@pytest.fixture
def opened(tmp_path):
    """The trainer of a seed on a small store."""
    sparse_store(tmp_path / "train", 1)
    store = Store.open(tmp_path / "train")
    return partial(
        opened_trainer, store, "resid", "sagsae_tied", 48, RECIPE, group_chunks=4, device="cpu"
    )


def test_the_bias_is_the_mean_of_what_is_trained_on(opened):
    with opened(seed=0) as run:
        rows = torch.cat([x.float() for x in iterate(run.stream.store, "resid", 128)])
        normalised = rows * run.sae.scale
        assert run.sae.scale != 1
        assert normalised.square().sum(1).mean() == pytest.approx(1, rel=1e-2)
        mean = normalised.mean(0)
        assert mean.abs().max() > 1e-3
        torch.testing.assert_close(run.sae.params["b_dec"], mean, rtol=1e-2, atol=1e-4)


def test_each_seed_has_its_own_order(opened):
    first = {}
    for seed in (0, 1, 1):
        with opened(seed=seed) as run:
            batch = next(run.stream).float()
        if seed in first:
            assert torch.equal(first[seed], batch)
        first[seed] = batch
    assert not torch.equal(first[0], first[1])
