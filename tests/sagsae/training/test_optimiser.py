"""The step that is fused with the gradients against the plain one, over several batches."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
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
)
def test_fused_equals_plain(name, d, width, b, lam, seed):
    one, other = twins(name, d, width, seed)
    plain = Optimiser(AutogradStep(one, torch.float64), RECIPE)
    fused = CpuOptimiser(CpuStep(other, b, torch.float64), RECIPE)
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


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_with_momentum_and_clipping_is_stepped_as_plainly(name):
    recipe = replace(RECIPE, beta1=0.9, clip_gradient_norm=0.5)
    one, other = twins(name, 16, 24, 2)
    plain = Optimiser(AutogradStep(one, torch.float64), recipe)
    fast = CpuOptimiser(CpuStep(other, 64, torch.float64), recipe)
    assert not fast.fused
    for k, x in enumerate(batches(6, 64, 16, 6)):
        for run in (plain, fast):
            if k == 3:
                run.forget(torch.arange(24) % 5 == 0)
            run.step(x, 0.1, 0.01)
    for key, value in one.params.items():
        torch.testing.assert_close(other.params[key], value, rtol=1e-7, atol=1e-9, msg=key)
    ours, theirs = fast.state(), plain.state()
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, rtol=1e-6, atol=1e-12, msg=key)


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


def reference_step(params, grads, moments, counts, rate):
    """Adam(0, beta2) in float64, written from its definition, and a gate's constraints.

    Args:
        counts: [H] steps of each latent since its moments were cleared, and of all else.
    """
    grads, beta2 = {name: value.copy() for name, value in grads.items()}, 0.999
    rows = params["W_dec"]
    grads["W_dec"] -= rows * (rows * grads["W_dec"]).sum(1, keepdims=True)
    for name, value in params.items():
        moments[name] = beta2 * moments[name] + (1 - beta2) * grads[name] ** 2
        n = counts[-1] if name == "b_dec" else counts[:-1]
        unbiased = moments[name] / (1 - beta2 ** (n[:, None] if name == "W_dec" else n))
        value -= rate * grads[name] / (np.sqrt(unbiased) + 1e-8)
    params["W_dec"] /= np.linalg.norm(params["W_dec"], axis=1, keepdims=True)
    params["theta"][:] = np.maximum(params["theta"], 0)


@pytest.mark.parametrize("kind", [Optimiser, CpuOptimiser])
def test_the_steps_are_those_of_a_float64_reference(kind):
    """Four steps; after the second one, latent 1 is reset."""
    d, width, b = 5, 3, 7
    sae, _ = twins("sagsae_tied", d, width, 2)
    sae.params["theta"].fill_(0.01)
    fast = kind is CpuOptimiser
    run = kind(CpuStep(sae, b, torch.float64) if fast else AutogradStep(sae, torch.float64), RECIPE)
    params = {name: value.numpy().copy() for name, value in sae.params.items()}
    moments = {name: np.zeros_like(value) for name, value in params.items()}
    counts = np.zeros(width + 1, int)
    for n, x in enumerate(batches(4, b, d, 8)):
        if n == 2:
            run.forget(torch.tensor([False, True, False]))
            counts[1] = 0
            for name in ("W_enc", "theta", "r", "c"):
                moments[name][..., 1] = 0
            moments["W_dec"][1] = 0
        counts += 1
        step = CpuStep(deepcopy(sae), b, torch.float64)
        expected = step(x, 0.1)
        assert expected.l0 > 0.5
        grads = {name: value.numpy() for name, value in step.grads.items()}
        reference_step(params, grads, moments, counts, 0.1 / (n + 1))
        terms = run.step(x, 0.1, 0.1 / (n + 1))
        torch.testing.assert_close(vars(terms), vars(expected))
        for name, value in params.items():
            np.testing.assert_allclose(sae.params[name].numpy(), value, rtol=1e-9, err_msg=name)
    found = run.state()
    for name, value in moments.items():
        late = run._beta2 ** (4 - found["clock"].double().numpy())
        late = {"W_dec": late[:, None], "W_enc": late}.get(name, 1.0)
        kept = found[f"exp_avg_sq.{name}"].numpy() * late
        np.testing.assert_allclose(kept, value, rtol=1e-9, atol=1e-18, err_msg=name)
    assert found["cleared"].tolist() == [0, 2, 0]
