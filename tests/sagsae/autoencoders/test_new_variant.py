"""A new gated variant is one file with its vectors and its sides, and one line of the registry."""

from __future__ import annotations

import sys

import pytest
import torch

import sagsae.autoencoders
from sagsae.autoencoders.registry import VARIANTS, Variant, check_name, label, looks
from sagsae.autoencoders.storage import build, load
from sagsae.schedules import Recipe
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.cpu_step import CpuStep
from sagsae.training.optimiser import CpuOptimiser, Optimiser

FILE = '''
import torch

from sagsae.autoencoders.dictionary import Sides
from sagsae.autoencoders.gate import GatedAutoencoder


class Plain(GatedAutoencoder):
    """Sides of their own thresholds, one offset, no magnitude scale."""

    name = "plain"
    vectors = ("low", "high", "c")
    two_sided = True

    thresholds = ("low", "high")

    def sides(self, v):
        zero = torch.zeros_like(v["c"])
        return Sides(v["high"], v["low"], zero, zero, v["c"], v["c"])
'''


@pytest.fixture
def plain(tmp_path, monkeypatch) -> str:
    """The name of the variant; its file lies where the others lie, as far as Python can tell."""
    (tmp_path / "plain.py").write_text(FILE)
    monkeypatch.setattr(
        sagsae.autoencoders, "__path__", [*sagsae.autoencoders.__path__, str(tmp_path)]
    )
    monkeypatch.setitem(VARIANTS, "plain", Variant("plain:Plain", "Plain", "#123456", "x"))
    yield "plain"
    sys.modules.pop("sagsae.autoencoders.plain", None)


def test_it_trains_by_the_fast_step_as_by_the_plain_one(plain):
    recipe = Recipe(steps=8, batch_size=64, lam=0.1, learning_rate=0.01)
    made = []
    for fast in (False, True):
        sae = build(plain, 12, 20).double()
        sae.initialise(torch.zeros(12), 0, recipe)
        if fast:
            step = CpuStep(sae, 64, torch.float64)
            optimiser = CpuOptimiser(step, recipe)
        else:
            optimiser = Optimiser(AutogradStep(sae, torch.float64), recipe)
        generator = torch.Generator().manual_seed(1)
        for _ in range(recipe.steps):
            x = torch.randn(64, 12, generator=generator, dtype=torch.float64) / 12**0.5
            terms = optimiser.step(x, 0.1, 0.01)
        made.append((sae, terms))
    (slow, expected), (fast, found) = made
    torch.testing.assert_close(vars(found), vars(expected), rtol=1e-7, atol=1e-9)
    start = build(plain, 12, 20).double()
    start.initialise(torch.zeros(12), 0, recipe)
    for key, value in slow.params.items():
        assert not torch.equal(value, start.params[key]), key
        torch.testing.assert_close(fast.params[key], value, rtol=1e-6, atol=1e-8, msg=key)


def test_it_has_a_name_a_label_and_a_look_and_is_saved(plain, tmp_path):
    assert check_name(plain) == plain
    assert label(plain) == "Plain"
    assert list(looks(["zoo:Other", plain, "gated"]).items())[:2] == [
        ("gated", ("#0072B2", "o")),
        (plain, ("#123456", "x")),
    ]
    build(plain, 4, 5).save(tmp_path / "sae.safetensors")
    again = load(tmp_path / "sae.safetensors")
    assert (again.name, again.parameters_per_latent()) == (plain, 2 * 4 + 3)
