"""Recipes that leave the decoder as it was drawn, on every path of a training."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from sagsae import api
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.weights import class_of
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.cpu_step import CpuStep
from sagsae.training.optimiser import optimiser
from sagsae.training.recipe import Recipe
from tests.sagsae.samples import WIDTH as D
from tests.sagsae.samples import sparse_rows

NAMES = ["gated", "sagsae_tied", "batchtopk", "absbatchtopk"]
H, B = 48, 64
FLOAT = torch.float32
STEPS = {
    "cpu": lambda sae: CpuStep(sae, B, FLOAT, most=4),
    "autograd": lambda sae: AutogradStep(sae, FLOAT),
}


def recipe(name: str, **settings) -> Recipe:
    knob = {"k": 4, "lam": 0.0} if "topk" in name else {"lam": 0.05}
    given = {"steps": 30, "batch_size": B, "learning_rate": 3e-3} | knob
    return Recipe(**given | {"decoder": "frozen"} | settings)


def started(name: str, by: Recipe) -> Autoencoder:
    sae = class_of(name)(D, H)
    sae.initialise(torch.zeros(D), 0, by)
    return sae


@pytest.mark.parametrize("changes", [{}, {"beta1": 0.9, "clip_gradient_norm": 0.3}])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", NAMES)
def test_the_decoder_stays_to_the_bit_and_all_else_moves(name, step, changes):
    by = recipe(name, **changes)
    sae, plain = started(name, by), started(name, by)
    before = {key: value.clone() for key, value in sae.params.items()}
    runs = optimiser(STEPS[step](sae), by), optimiser(STEPS["autograd"](plain), by)
    sae.dead = plain.dead = torch.arange(H) < 8  # AuxK has something to do
    for x, run in product(sparse_rows(10 * B, 1).split(B), runs):
        run.step(x / D**0.5, by.k or by.lam, 3e-3)
    same = {key for key, value in sae.params.items() if torch.equal(value, before[key])}
    assert same == {"W_dec"}
    for key, value in plain.params.items():
        torch.testing.assert_close(sae.params[key], value, rtol=1e-3, atol=1e-4, msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_a_finished_run_has_the_decoder_that_was_drawn(name):
    shut = {"reset_window_tokens": B, "theta_init": 2.5, "gate_init": "matched"}
    more = {} if "topk" in name else shut
    by = recipe(name, weight_average=0.9, **more)
    drawn = started(name, by).params["W_dec"]
    knob = {"k": by.k} if by.k else {"lam": by.lam}
    settings = {"decoder": "frozen", "weight_average": 0.9, "learning_rate": 3e-3, **more}
    rows = sparse_rows(4096, 2)
    sae, history = api.train(rows, name, H, batch_size=B, tokens=30 * B, **knob, **settings)
    assert torch.equal(sae.params["W_dec"], drawn)
    assert history.rows[-1]["reconstruction"] < history.rows[0]["reconstruction"]
    assert sae.provenance["recipe"]["decoder"] == "frozen"
    assert history.resets or not more


def test_what_cannot_freeze_a_decoder_says_so():
    with pytest.raises(ValueError, match=r"^decoder: .*leave decoder_norm out"):
        recipe("gated", decoder_norm="free")
    loaded = class_of("gated")(D, H)  # nobody told it of the recipe
    with pytest.raises(ValueError, match=r"^decoder: gated trains its own"):
        optimiser(AutogradStep(loaded, FLOAT), recipe("gated"))
