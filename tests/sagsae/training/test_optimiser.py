"""The step that is fused with the gradients against the plain one, over several batches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.autoencoders.registry import VARIANTS, variant
from sagsae.schedules import Recipe
from sagsae.training.checkpoint import load_checkpoint, save_checkpoint
from sagsae.training.cpu_step import CpuStep
from sagsae.training.optimiser import FusedOptimiser, Optimiser, optimiser
from sagsae.training.step import Step

NAMES = sorted(VARIANTS)
RECIPE = Recipe(steps=8, batch_size=1, lam=0.0, learning_rate=0.02)


def twins(name: str, d: int, width: int, seed: int, dtype: torch.dtype):
    """Two equal autoencoders some of whose latents are silent."""
    generator = torch.Generator().manual_seed(seed)
    pair = [variant(name)(d, width, 1.0, dtype) for _ in range(2)]
    for key, value in pair[0].params.items():
        value.copy_(torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.3)
        if key.startswith("theta"):
            value.abs_()[::3] = 0.9
        elif key == "b_gate":
            value[::3] = -0.9
    pair[0].normalise_decoder()
    for key, value in pair[1].params.items():
        value.copy_(pair[0].params[key])
    return pair


def batches(count: int, b: int, d: int, seed: int, dtype: torch.dtype):
    generator = torch.Generator().manual_seed(seed)
    return [0.4 * torch.randn(b, d, generator=generator, dtype=dtype) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(
    d=st.integers(1, 24),
    width=st.integers(1, 20),
    b=st.integers(1, 17),
    lam=st.floats(0, 2),
    seed=st.integers(0, 2**31),
    sparse_below=st.sampled_from([0.0, 0.3, 2.0]),
)
def test_fused_equals_plain(name, d, width, b, lam, seed, sparse_below):
    one, other = twins(name, d, width, seed, torch.float64)
    plain = Optimiser(Step(one, b, torch.float64), RECIPE)
    fused = FusedOptimiser(CpuStep(other, b, torch.float64, sparse_below), RECIPE)
    for k, x in enumerate(batches(8, b, d, seed + 1, torch.float64)):
        expected = plain.step(x, lam, 0.02 / (k + 1))
        terms = fused.step(x, lam, 0.02 / (k + 1))
        torch.testing.assert_close(vars(terms), vars(expected), rtol=1e-7, atol=1e-9)
    for key, value in one.params.items():
        torch.testing.assert_close(other.params[key], value, rtol=1e-6, atol=1e-7, msg=key)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sparse_below", [0.0, 2.0])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_fused_in_lower_precision(name, sparse_below, dtype, bound):
    one, other = twins(name, 48, 96, 3, torch.float32)
    start = {key: value.clone() for key, value in one.params.items()}
    plain = Optimiser(Step(one, 256, torch.float32), RECIPE)
    fused = FusedOptimiser(CpuStep(other, 256, dtype, sparse_below), RECIPE)
    for x in batches(3, 256, 48, 4, torch.float32):
        plain.step(x, 0.2, 1e-3)
        fused.step(x, 0.2, 1e-3)
    for key, value in one.params.items():
        moved = value - start[key]
        assert (other.params[key] - value).norm() < bound * moved.norm(), key


def test_moments_of_a_silent_latent_decay_when_it_opens_again():
    """What is put off is the very decay that the plain step makes at once."""
    one, other = twins("sagsae_tied", 6, 4, 1, torch.float64)
    plain = Optimiser(Step(one, 9, torch.float64), RECIPE)
    fused = FusedOptimiser(CpuStep(other, 9, torch.float64, 2.0), RECIPE)
    for k, x in enumerate(batches(6, 9, 6, 5, torch.float64)):
        shut = 1e3 if 1 <= k <= 3 else 0.01
        for sae in (one, other):
            sae.params["theta"][2] = shut
        plain.step(x, 0.1, 0.01)
        fused.step(x, 0.1, 0.01)
        assert (fused._clock[2] < k + 1) == (1 <= k <= 3)
    caught_up = 0.999 ** (6 - fused._clock.double())
    for key, latents_first in (("W_enc", False), ("W_dec", True)):
        torch.testing.assert_close(other.params[key], one.params[key])
        decay = caught_up[:, None] if latents_first else caught_up
        found = fused.state()[f"exp_avg_sq.{key}"] * decay
        torch.testing.assert_close(found, plain.state()[f"exp_avg_sq.{key}"])


FORMAT = {"W_enc", "W_dec", "b_dec", "theta", "r", "c"}
"""Each of them has second moments; with beta1 = 0 nothing reads the first ones."""


@pytest.mark.parametrize("writer", [Optimiser, FusedOptimiser])
@pytest.mark.parametrize("reader", [Optimiser, FusedOptimiser])
def test_either_reads_what_the_other_wrote(writer, reader, tmp_path):
    """A run is stopped after a reset, while a latent is silent, and goes on on another device."""

    def made(kind, sae):
        if kind is FusedOptimiser:
            return kind(CpuStep(sae, 9, torch.float64, 2.0), RECIPE)
        return kind(Step(sae, 9, torch.float64), RECIPE)

    one, other = twins("sagsae_tied", 6, 4, 1, torch.float64)
    whole, stopped, path = made(Optimiser, one), made(writer, other), tmp_path / "c"
    some = torch.tensor([False, True, False, False])
    for k, x in enumerate(batches(12, 9, 6, 5, torch.float64)):
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


def test_the_operands_follow_the_weights():
    sae, _ = twins("sagsae", 16, 24, 2, torch.float32)
    step = CpuStep(sae, 32, torch.bfloat16, 2.0)
    fused = FusedOptimiser(step, RECIPE)
    for x in batches(3, 32, 16, 6, torch.float32):
        fused.step(x, 0.1, 0.01)
    assert torch.equal(step.W_enc, sae.params["W_enc"].bfloat16())
    assert torch.equal(step.W_dec, sae.params["W_dec"].bfloat16())
    rows = sae.params["W_dec"][fused._clock > 0]
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({}, FusedOptimiser), ({"beta1": 0.9}, Optimiser), ({"clip_gradient_norm": 1.0}, Optimiser)],
)
def test_momentum_and_clipping_need_the_plain_step(settings, kind):
    sae, _ = twins("gated", 4, 4, 0, torch.float32)
    recipe = replace(RECIPE, **settings)
    assert type(optimiser(CpuStep(sae, 4, torch.float32), recipe)) is kind


@pytest.mark.parametrize("kind", [Step, CpuStep])
def test_gradients_are_clipped_together_after_their_radial_part_is_gone(kind):
    sae, _ = twins("sagsae_sym", 16, 24, 2, torch.float64)
    (x,) = batches(1, 64, 16, 6, torch.float64)
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


def test_a_limit_that_no_gradient_reaches_changes_no_bit():
    one, other = twins("gated", 16, 24, 2, torch.float32)
    plain = Optimiser(CpuStep(one, 64, torch.float32), RECIPE)
    limited = Optimiser(CpuStep(other, 64, torch.float32), replace(RECIPE, clip_gradient_norm=1e9))
    for x in batches(4, 64, 16, 6, torch.float32):
        plain.step(x, 0.1, 0.01)
        limited.step(x, 0.1, 0.01)
    for key, value in one.params.items():
        assert torch.equal(value, other.params[key]), key
