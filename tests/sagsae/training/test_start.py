"""What a run on a store starts from: the mean in normalised units, and the seed's own order."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from sagsae.activations.rows import rows_of
from sagsae.activations.stream import iterate
from sagsae.api import opened_trainer
from sagsae.autoencoders.registry import GATED, of_family
from sagsae.autoencoders.weights import class_of
from sagsae.training.recipe import Recipe
from tests.sagsae.samples import sparse_store

RECIPE = Recipe(steps=4, batch_size=128, lam=0.02, learning_rate=1e-3)


@pytest.fixture
def opened(tmp_path):
    """The trainer of a seed on a small store."""
    store = sparse_store(tmp_path / "train", 1)
    return partial(
        opened_trainer, rows_of(store, "resid"), "sagsae_tied", 48, RECIPE, group_chunks=4
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


MEAN = torch.full((16,), 0.2)


def started(name: str, **settings):
    sae = class_of(name)(16, 24)
    sae.initialise(MEAN, 0, replace(RECIPE, **settings))
    return sae


@pytest.mark.parametrize("name", of_family(GATED))
def test_the_bias_may_start_at_zero_and_nothing_else_changes(name):
    before, after = started(name).state_dict(), started(name, b_dec_init="zero").state_dict()
    assert torch.equal(before.pop("b_dec"), MEAN)
    assert not after.pop("b_dec").any()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("name", of_family(GATED))
def test_the_gate_of_gated_alone_is_matched_to_the_threshold_of_the_others(name):
    before, after = started(name), started(name, gate_init="matched")
    changed = [key for key, value in before.params.items() if not value.equal(after.params[key])]
    assert changed == (["b_gate"] if name == "gated" else [])
    theta = started("sagsae_tied").params["theta"]
    threshold = after.sides(after.params)[0]
    assert torch.equal(threshold, theta)
    if name == "gated":
        after.params["b_gate"][3] = -9.0
        after.reset_latents(torch.arange(24) == 3)
        assert torch.equal(after.params["b_gate"], -theta)
