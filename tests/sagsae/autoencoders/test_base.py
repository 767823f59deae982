"""What holds of every autoencoder: single rows, bfloat16 copies, wrong widths, how it prints."""

from __future__ import annotations

import copy

import pytest
import torch

import sagsae
from sagsae.autoencoders.base import Autoencoder, Target
from sagsae.autoencoders.registry import VARIANTS, K
from sagsae.autoencoders.weights import build
from sagsae.evaluation.metrics import evaluate_reconstruction
from sagsae.training.recipe import Recipe

D, H, D_OUT = 8, 24, 6
TARGETS = {"autoencoder": None, "transcoder": Target(D_OUT, 0.7), "skip": Target(D_OUT, 0.7, True)}


def started(name: str, target: Target | None = None) -> Autoencoder:
    knob = {"k": 4, "lam": 0.0} if VARIANTS[name].knob == K else {"lam": 0.1}
    sae = build(name, D, H, 1.3, target)
    sae.initialise(torch.zeros(D), 0, Recipe(steps=1, batch_size=1, learning_rate=1.0, **knob))
    if sae.target is not None and sae.target.skip:
        torch.nn.init.normal_(sae.W_skip, generator=torch.Generator().manual_seed(1))
    return sae


def rows(width: int = D) -> torch.Tensor:
    return torch.randn(20, width, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("gradients", [True, False])
def test_one_row_is_a_row_of_a_batch(name, target, gradients):
    sae, x = started(name, TARGETS[target]), rows()
    with torch.set_grad_enabled(gradients):
        z = sae.encode(x)
        for one, batch in (
            (sae.encode(x[0]), z),
            (sae.decode(z[0]), sae.decode(z)),
            (sae(x[0]), sae(x)),
        ):
            torch.testing.assert_close(one, batch[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["relu", "sagsae_tied", "batchtopk"])
def test_bfloat16_copies_are_measured(name, target):
    sae = started(name, TARGETS[target])
    both = rows(D + (D_OUT if sae.target else 0))
    exact = evaluate_reconstruction(sae, [both])
    found = evaluate_reconstruction(copy.deepcopy(sae).bfloat16(), [both])
    assert found.sse == pytest.approx(exact.sse, rel=0.02)


def test_another_width_is_named():
    sae, transcoder = started("relu"), started("relu", TARGETS["skip"])
    for call in (sae, transcoder, sae.encode):
        with pytest.raises(ValueError, match=rf"\[20, 5\] for relu, whose d is {D}"):
            call(rows(5))
    with pytest.raises(ValueError, match=rf"\[20, 5\] for relu, whose H is {H}"):
        sae.decode(rows(5))
    with pytest.raises(ValueError, match=f"d = {D}"):
        sagsae.evaluate(sae, rows(5))
    with pytest.raises(ValueError, match=f"d = {D} and d_out = {D_OUT}"):
        sagsae.evaluate(transcoder, rows(5))


@pytest.mark.parametrize(("d", "width"), [(0, 3), (3, 0), (3, -1)])
def test_there_is_no_autoencoder_without_latents(d, width):
    with pytest.raises(ValueError, match="1 or more"):
        build("relu", d, width)


def test_it_prints_what_it_is():
    text = repr(started("abstopk", TARGETS["skip"]))
    assert text.startswith(f"AbsTopK(abstopk, d={D}, H={H}, k=4, target=Target(d={D_OUT}, ")
    assert "skip=True" in text
    run = {"batch_size": 64, "learning_rate": 3e-3, "device": "cpu"}
    sae, _ = sagsae.train(torch.randn(640, D), "gated", H, lam=0.02, **run)
    assert repr(sae) == f"Gated(gated, d={D}, H={H}, lam=0.02)"
