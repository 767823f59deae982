"""The step that is fused with the gradients against the plain one, over several batches."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.autoencoders.registry import GATED, of_family
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.checkpoint import load_checkpoint, save_checkpoint
from sagsae.training.cpu_step import CpuStep
from sagsae.training.optimiser import CpuOptimiser, Optimiser
from sagsae.training.recipe import Recipe
from tests.sagsae.autoencoders.test_variants import batch, random_autoencoder

NAMES = of_family(GATED)
RECIPE = Recipe(steps=8, batch_size=1, lam=0.0, learning_rate=0.02)


def twins(name: str, d: int, width: int, seed: int):
    """Two equal autoencoders some of whose latents are silent."""
    sae = random_autoencoder(name, d, width, seed)
    for key, value in sae.params.items():
        if key.startswith("theta"):
            value[::3] = 0.9
        elif key == "b_gate":
            value[::3] = -0.9
    return sae, deepcopy(sae)


def batches(count: int, b: int, d: int, seed: int):
    x = 0.4 * batch(count * b, d, seed)
    return x.split(b)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(
    d=st.integers(1, 24),
    width=st.integers(1, 20),
    b=st.integers(1, 17),
    lam=st.floats(0, 2),
    seed=st.integers(0, 2**31),
    dense_from=st.sampled_from([0.0, 0.3, torch.inf]),
)
def test_fused_equals_plain(name, d, width, b, lam, seed, dense_from):
    one, other = twins(name, d, width, seed)
    plain = Optimiser(AutogradStep(one, torch.float64), RECIPE)
    step = CpuStep(other, b, torch.float64, dense_from=dense_from)
    fused = CpuOptimiser(step, RECIPE)
    for k, x in enumerate(batches(8, b, d, seed + 1)):
        expected = plain.step(x, lam, 0.02 / (k + 1))
        terms = fused.step(x, lam, 0.02 / (k + 1))
        torch.testing.assert_close(vars(terms), vars(expected), rtol=1e-7, atol=1e-9)
    for key, value in one.params.items():
        torch.testing.assert_close(other.params[key], value, rtol=1e-6, atol=1e-7, msg=key)


FORMAT = {"W_enc", "W_dec", "b_dec", "theta", "r", "c"}
"""Each of them has second moments; with beta1 = 0 nothing reads the first ones."""


@pytest.mark.parametrize("writer", [Optimiser, CpuOptimiser])
@pytest.mark.parametrize("reader", [Optimiser, CpuOptimiser])
def test_either_reads_what_the_other_wrote(writer, reader, tmp_path):
    """A run is stopped after a reset, while a latent is silent, and goes on on another device."""

    def made(kind, sae):
        if kind is CpuOptimiser:
            return kind(CpuStep(sae, 9, torch.float64), RECIPE)
        return kind(AutogradStep(sae, torch.float64), RECIPE)

    one, other = twins("sagsae_tied", 6, 4, 1)
    whole, stopped, path = made(Optimiser, one), made(writer, other), tmp_path / "c"
    some = torch.tensor([False, True, False, False])
    for k, x in enumerate(batches(12, 9, 6, 5)):
        if k == 6:
            state = stopped.state()
            assert {f"exp_avg_sq.{name}" for name in FORMAT} | {"clock", "cleared"} == set(state)
            save_checkpoint(path, state, {})
            stopped = made(reader, other)
            stopped.load_state(load_checkpoint(path)[0], k)
        for run, sae in ((whole, one), (stopped, other)):
            sae.params["theta"][1:3] = 0.01
            if 4 <= k <= 7:
                sae.params["theta"][2] = 1e3
            if k == 3:
                run.forget(some)
            run.step(x, 0.1, 0.01)
    for key, value in one.params.items():
        torch.testing.assert_close(other.params[key], value, msg=key)


@pytest.mark.parametrize("kind", [lambda sae, _, dtype: AutogradStep(sae, dtype), CpuStep])
def test_gradients_are_clipped_together_after_their_radial_part_is_gone(kind):
    sae, _ = twins("sagsae_sym", 16, 24, 2)
    (x,) = batches(1, 64, 16, 6)
    step = kind(sae, 64, torch.float64)
    step(x, 0.1)
    rows, expected = sae.params["W_dec"], {key: g.clone() for key, g in step.grads.items()}
    expected["W_dec"] -= rows * (rows * expected["W_dec"]).sum(1, keepdim=True)
    norm = torch.cat([g.flatten() for g in expected.values()]).norm()
    for limit in (norm / 3, 3 * norm):
        run = Optimiser(step, replace(RECIPE, clip_gradient_norm=float(limit)))
        run.step(x, 0.1, 0.0)  # without a rate, the weights stay
        for key, value in step.grads.items():
            torch.testing.assert_close(value, expected[key] * min(1.0, float(limit / norm)))
