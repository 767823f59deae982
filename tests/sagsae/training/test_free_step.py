"""Recipes that free the decoder: against the loss of SAELens under autograd, over several steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sagsae.autoencoders.registry import GATED, of_family
from sagsae.autoencoders.weights import class_of
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.cpu_step import CpuStep
from sagsae.training.recipe import Recipe
from sagsae.training.trainer import Trainer
from tests.sagsae.autoencoders import reference

SAELENS = Recipe(
    steps=12,
    batch_size=64,
    lam=0.3,
    learning_rate=3e-3,
    beta1=0.9,
    lr_decay_fraction=0.0,
    b_dec_init="zero",
    clip_gradient_norm=0.2,
    decoder_norm="free",
    decoder_init_norm=0.1,
    auxiliary_decoder="trained",
)
D, WIDTH = 16, 40


@pytest.fixture(autouse=True)
def exact_products(monkeypatch):
    """In the type of the parameters, which no recipe asks for."""
    monkeypatch.setattr("sagsae.training.trainer.products_dtype", lambda *_: torch.float64)


def started(name: str, recipe: Recipe):
    sae = class_of(name)(D, WIDTH).double()
    sae.initialise(torch.full((D,), 0.1, dtype=torch.float64), 0, recipe)
    return sae


class Batches:
    """The same batches for everybody."""

    wait_seconds = 0.0

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(1)

    def __next__(self) -> torch.Tensor:
        x = torch.randn(64, D, generator=self.generator, dtype=torch.float64)
        return (x / D**0.5).float()

    def state(self) -> dict:
        return {}


def saelens_loss(x: torch.Tensor, p: dict[str, torch.Tensor], lam: float) -> torch.Tensor:
    """``GatedTrainingSAE`` of SAELens 6.54, whose decoder is free and trained by all terms."""
    u = (x - p["b_dec"]) @ p["W_enc"]
    gate = torch.relu(u + p["b_gate"])
    z = (u + p["b_gate"] > 0) * torch.relu(u * p["r_mag"].exp() + p["b_mag"])
    outputs = [code @ p["W_dec"] + p["b_dec"] for code in (z, gate)]
    errors = sum((out - x).square().sum(1).mean() for out in outputs)
    return errors + lam * (gate * p["W_dec"].norm(dim=1)).sum(1).mean()


def test_a_run_follows_saelens_step_by_step():
    sae = started("gated", SAELENS)
    assert sae.params["W_dec"].norm(dim=1).allclose(torch.tensor(0.1, dtype=torch.float64))
    assert torch.equal(sae.params["W_enc"], sae.params["W_dec"].T)
    params = {key: value.clone().requires_grad_() for key, value in sae.params.items()}
    adam = torch.optim.Adam(params.values(), lr=SAELENS.learning_rate, betas=(0.9, 0.999))
    own, data = Batches(), Batches()
    trainer = Trainer(sae, data, SAELENS, log_every=1)
    clipped = 0
    for _ in range(SAELENS.steps):
        adam.zero_grad()
        loss = saelens_loss(next(own).double(), params, SAELENS.lam)
        loss.backward()
        limit = SAELENS.clip_gradient_norm
        clipped += bool(torch.nn.utils.clip_grad_norm_(params.values(), limit) > limit)
        adam.step()
        trainer._advance()
        row = trainer.history.rows[-1]
        assert row["loss"] == pytest.approx(loss.item(), rel=1e-9)
    assert clipped > 0
    for key, value in params.items():
        torch.testing.assert_close(sae.params[key], value.detach(), rtol=1e-6, atol=1e-9, msg=key)


@pytest.mark.parametrize("name", of_family(GATED))
@pytest.mark.parametrize("norm", ["unit", "free"])
@pytest.mark.parametrize("auxiliary", ["frozen", "trained"])
def test_the_loss_of_a_gate_is_what_its_recipe_trains(name, norm, auxiliary):
    recipe = replace(
        SAELENS,
        decoder_norm=norm,
        decoder_init_norm=0.7 if norm == "free" else 1.0,
        auxiliary_decoder=auxiliary,
    )
    sae, x = started(name, recipe), next(Batches()).double()
    for key in ("b_dec", *sae.vectors):
        sae.params[key] += 0.05 * torch.randn(sae.params[key].shape, dtype=torch.float64)
    sae.project()
    found = sum(sae.loss(x, 0.3).values())
    found.backward()
    params = {key: value.clone().requires_grad_() for key, value in sae.params.items()}
    loss = _written_out(sae, x, params, 0.3, norm == "free", auxiliary == "trained")
    assert found.item() == pytest.approx(loss.item(), rel=1e-12)
    for key, grad in zip(params, torch.autograd.grad(loss, list(params.values())), strict=True):
        own = sae.get_parameter(key).grad
        torch.testing.assert_close(own, grad, rtol=1e-8, atol=1e-12, msg=key)


def _written_out(sae, x, p, lam, free, trained):
    u = (x - p["b_dec"]) @ p["W_enc"]
    z, a, gate = reference.CODES[sae.name](u, p)
    weights = p["W_dec"].norm(dim=1) if free else 1.0
    total = (x - z @ p["W_dec"] - p["b_dec"]).square().sum(1).mean()
    total = total + lam * (gate * weights).sum(1).mean()
    if sae.auxiliary:
        rows, bias = (p[key] if trained else p[key].detach() for key in ("W_dec", "b_dec"))
        total = total + (x - a @ rows - bias).square().sum(1).mean()
    return total


@pytest.mark.parametrize("name", of_family(GATED))
def test_a_finished_run_has_unit_rows_and_the_codes_of_before_times_their_norms(name):
    recipe = replace(SAELENS, steps=5)
    sae, data = started(name, recipe), Batches()
    trainer, x = Trainer(sae, data, recipe), next(Batches()).double()
    for _ in range(recipe.steps):
        trainer._advance()
    norms, code = sae.W_dec.norm(dim=1), sae.code(x)
    before = sae.reconstruct(code)
    assert (norms - 0.1).abs().max() > 1e-3
    trainer.run()  # which has no step left
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones_like(norms))
    torch.testing.assert_close(sae.code(x), code * norms)
    torch.testing.assert_close(sae.reconstruct(sae.code(x)), before)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, CpuStep),
        ({"decoder_norm": "free"}, AutogradStep),
        ({"auxiliary_decoder": "trained"}, AutogradStep),
    ],
)
def test_a_recipe_takes_the_step_that_it_needs(settings, kind):
    recipe = Recipe(steps=1, batch_size=64, lam=0.3, learning_rate=3e-3, **settings)
    assert type(Trainer(started("gated", recipe), Batches(), recipe).compute) is kind
