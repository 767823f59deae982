"""A class of a user's own is trained by its own methods: also on a CPU, where a faster step has
formulas of its own for those of this package."""

from __future__ import annotations

import pytest
import torch

import sagsae
from sagsae.activations.rows import rows_of
from sagsae.api import opened_trainer
from sagsae.autoencoders.batchtopk import BatchTopK
from sagsae.autoencoders.dictionary import Dictionary
from sagsae.autoencoders.gated import Gated
from sagsae.autoencoders.relu import Relu
from sagsae.autoencoders.sign_aware import TiedSignAware
from sagsae.autoencoders.topk import TopK
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.cpu_step import CpuStep
from sagsae.training.optimiser import fastest_step, optimiser
from sagsae.training.trainer import Trainer
from tests.sagsae.samples import sparse_rows
from tests.sagsae.training.test_training import recipe

HOW = {"batch_size": 64, "learning_rate": 3e-3, "device": "cpu", "tokens": 12_800}


class Harder(Gated):
    def penalty(self, pre, v, z):
        return 10 * super().penalty(pre, v, z)


class Weighted(Gated):
    def weights(self, lam):
        return {"penalty": 10 * lam}


class Summed(Relu):
    def loss(self, x, lam):
        terms = super().loss(x, lam)
        return {**terms, "penalty": 10 * terms["penalty"]}


class Longer(Gated):
    def constrain(self):
        super().constrain()
        self.params["W_dec"].mul_(2)


class Shut(Gated):
    """Sides are a declaration, which both steps read."""

    def sides(self, v):
        found = super().sides(v)
        return found._replace(theta_pos=found.theta_pos + 0.1)


class Same(TopK):
    """Nothing is overridden."""


def trained(kind, **sparsity):
    return sagsae.train(sparse_rows(2560, 0), kind, 48, **sparsity, **HOW).autoencoder


def l0(sae) -> float:
    with torch.no_grad():
        return float((sae.encode(sparse_rows(512, 9)) != 0).sum(1).float().mean())


@pytest.mark.parametrize("kind", [Harder, Weighted])
def test_ten_times_the_penalty_is_ten_times_lambda(kind):
    base, other = trained(Gated, lam=0.01), trained(kind, lam=0.01)
    assert l0(other) < 0.7 * l0(base)
    assert l0(other) == pytest.approx(l0(trained(Gated, lam=0.1)), rel=0.02)


def test_a_loss_below_the_terms_is_what_is_trained():
    assert l0(trained(Summed, lam=0.02)) == pytest.approx(l0(trained(Relu, lam=0.2)), rel=0.02)


def test_constraints_hold_after_each_step():
    norms = trained(Longer, lam=0.01).W_dec.detach().norm(dim=1)
    torch.testing.assert_close(norms, torch.full((48,), 2.0))


def step_of(sae):
    how = recipe()
    sae.initialise(torch.zeros(sae.d), 0, how)
    return fastest_step(sae, how, torch.float32, torch.device("cpu"))


@pytest.mark.parametrize("parent", [Gated, TiedSignAware, Relu])
@pytest.mark.parametrize("name", ["penalty", "select", "subtracted", "tracked", "constrain"])
def test_whatever_is_overridden_takes_the_plain_step(parent, name):
    same = vars(Dictionary)[name]
    override = property(lambda sae: same.fget(sae)) if isinstance(same, property) else mocked(same)
    changed = type("Changed", (parent,), {name: override})
    assert isinstance(step_of(changed(8, 12)), AutogradStep)
    assert isinstance(step_of(parent(8, 12)), CpuStep)


def mocked(method):
    return lambda sae, *args: method(sae, *args)


def test_a_method_of_one_autoencoder_alone_is_seen():
    sae = Gated(8, 12)
    sae.penalty = lambda pre, v, z: 10 * Gated.penalty(sae, pre, v, z)
    assert isinstance(step_of(sae), AutogradStep)


def test_who_overrides_nothing_keeps_the_fast_step():
    assert torch.equal(trained(Same, k=4).W_dec, trained(TopK, k=4).W_dec)
    for kind in (Same, Shut):
        how = recipe(**({"lam": 0.0, "k": 3} if kind is Same else {}))
        sae = kind(8, 12)
        sae.initialise(torch.zeros(8), 0, how)
        assert isinstance(Trainer(sae, None, how).compute, CpuStep)
    assert not torch.equal(trained(Shut, lam=0.01).W_dec, trained(Gated, lam=0.01).W_dec)


@pytest.mark.parametrize("name", ["W_enc", "W_dec", "b_dec", "b_enc"])
@pytest.mark.parametrize("step", ["fastest", "autograd"])
def test_a_frozen_parameter_stays_as_it_was(name, step, tmp_path):
    """On a CPU as by the plain step, which a GPU takes; also of a run that was continued."""

    class Frozen(BatchTopK):
        def __init__(self, *shape):
            super().__init__(*shape)
            self.get_parameter(name).requires_grad_(False)

    rows, by = rows_of(sparse_rows(2560, 0)), recipe(steps=20, k=4, lam=0.0, weight_average=0.9)
    with opened_trainer(rows, Frozen, 48, by) as trainer:
        sae = trainer.sae
        if step == "autograd":
            trainer.compute = AutogradStep(sae, torch.float32)
            trainer.optimiser = optimiser(trainer.compute, by)
        before = {key: value.clone() for key, value in sae.params.items()}
        trainer.run(tmp_path / "c", 0)
    same = {key for key, value in sae.params.items() if torch.equal(value, before[key])}
    assert same == {name}
    with opened_trainer(rows, Frozen, 48, by) as again:
        again.run(tmp_path / "c")
    assert torch.equal(again.sae.params[name], before[name])
