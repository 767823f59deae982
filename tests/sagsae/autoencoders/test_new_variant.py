"""A new family is one file, which declares, and one line of the registry: code, loss and both steps
follow."""

from __future__ import annotations

import sys

import pytest
import torch

import sagsae.autoencoders
from sagsae.autoencoders.registry import VARIANTS, K, Variant, check_name
from sagsae.autoencoders.weights import build, load
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.cpu_step import CpuStep
from sagsae.training.optimiser import CpuOptimiser, Optimiser, fastest_step
from sagsae.training.recipe import Recipe

FILE = '''
import torch

from sagsae.autoencoders.declaration import COUNT, SIZE, Sides
from sagsae.autoencoders.dictionary import Dictionary
from sagsae.autoencoders.gated import GatedAutoencoder
from sagsae.autoencoders.matryoshka import AbsMatryoshka
from sagsae.autoencoders.ungated import UngatedAutoencoder


class Plain(GatedAutoencoder):
    """Sides of their own thresholds, one offset, no magnitude scale."""

    name = "plain"
    vectors = ("low", "high", "c")
    thresholds = ("low", "high")
    two_sided = True

    def sides(self, v):
        zero = torch.zeros_like(v["c"])
        return Sides(v["high"], v["low"], zero, zero, v["c"], v["c"])


class Counted(UngatedAutoencoder):
    """Sides of their own thresholds, of which one jumps further; the number of entries is paid."""

    name = "counted"
    vectors = ("b_enc", "low", "high", "r")
    thresholds = ("low", "high")
    two_sided = True
    penalised = COUNT
    bandwidth = 0.3

    def sides(self, v):
        zero = torch.zeros_like(v["r"])
        return Sides(v["high"], v["low"], v["r"], zero, zero, zero)


class Sized(Dictionary):
    """No bias of the encoder, free rows, a gain."""

    name = "sized"
    vectors = ("r", "c")
    log_gains = ("r",)
    penalised = SIZE
    may_free_rows = True

    def sides(self, v):
        zero = torch.zeros_like(v["c"])
        return Sides.shared(zero, v["r"], v["c"], two_sided=False)


class Steeper(AbsMatryoshka):
    """Nested groups, AuxK, and a gain."""

    name = "steeper"
    vectors = ("b_enc", "r")
    log_gains = ("r",)

    def sides(self, v):
        return super().sides(v)._replace(r_pos=v["r"], r_neg=-v["r"])
'''
NEW = {
    "plain": Variant("new:Plain"),
    "counted": Variant("new:Counted", "counted", sides=2),
    "sized": Variant("new:Sized", "sized"),
    "steeper": Variant("new:Steeper", "matryoshka", K, sides=2),
}


@pytest.fixture(autouse=True)
def new(tmp_path, monkeypatch):
    """The file lies where the others lie, as far as Python can tell."""
    (tmp_path / "new.py").write_text(FILE)
    monkeypatch.setattr(
        sagsae.autoencoders, "__path__", [*sagsae.autoencoders.__path__, str(tmp_path)]
    )
    for name, line in NEW.items():
        monkeypatch.setitem(VARIANTS, name, line)
    yield
    sys.modules.pop("sagsae.autoencoders.new", None)


def recipe(name: str) -> Recipe:
    sparsity = {"k": 3, "lam": 0.0, "auxk_latents": 2} if VARIANTS[name].knob == K else {"lam": 0.1}
    free = {"decoder_norm": "free"} if name == "sized" else {}
    return Recipe(
        steps=8, batch_size=64, learning_rate=0.01, threshold_init=0.2, **sparsity, **free
    )


@pytest.mark.parametrize("name", NEW)
def test_it_trains_by_the_fast_step_as_by_the_plain_one(name):
    how, trained = recipe(name), []
    for fast in (False, True):
        sae = build(name, 12, 40).double()
        sae.initialise(torch.zeros(12), 0, how)
        step = fastest_step(sae, how, torch.float64, torch.device("cpu"))
        assert isinstance(step, CpuStep)
        if fast:
            optimiser = CpuOptimiser(step, how)
        else:
            optimiser = Optimiser(AutogradStep(sae, torch.float64), how)
        generator = torch.Generator().manual_seed(1)
        sae.dead = torch.arange(40) % 3 == 0
        for _ in range(how.steps):
            x = torch.randn(64, 12, generator=generator, dtype=torch.float64) / 12**0.5
            terms = optimiser.step(x, how.k or how.lam, 0.01)
        trained.append((sae, terms))
    (slow, expected), (fast, terms) = trained
    torch.testing.assert_close(vars(terms), vars(expected), rtol=1e-7, atol=1e-9)
    start = build(name, 12, 40).double()
    start.initialise(torch.zeros(12), 0, how)
    for key, value in slow.params.items():
        assert not torch.equal(value, start.params[key]), key
        torch.testing.assert_close(fast.params[key], value, rtol=1e-6, atol=1e-8, msg=key)


@pytest.mark.parametrize("name", ["plain", "counted", "sized"])
def test_its_code_after_training_is_the_one_it_was_trained_with(name):
    sae = build(name, 12, 40)
    sae.initialise(torch.zeros(12), 0, recipe(name))
    x = torch.randn(64, 12, generator=torch.Generator().manual_seed(1)) / 12**0.5
    _, z = sae.training_terms(x, 0.1)
    assert (z != 0).any()
    torch.testing.assert_close(sae.code(x), z)


def test_it_has_a_name_and_is_saved(tmp_path):
    assert check_name("plain") == "plain"
    build("plain", 4, 5).save(tmp_path / "sae.safetensors")
    again = load(tmp_path / "sae.safetensors")
    assert (again.name, again.parameters_per_latent()) == ("plain", 2 * 4 + 3)
