"""The step that is fused with the gradients against the plain one, over several batches."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.autoencoders.registry import GATED, of_family, variant
from sagsae.schedules import Recipe
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.checkpoint import load_checkpoint, save_checkpoint
from sagsae.training.cpu_step import CpuStep
from sagsae.training.optimiser import FusedOptimiser, Optimiser, optimiser
from sagsae.training.step import Step
from tests.their_package import installed

NAMES = of_family(GATED)
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
@settings(max_examples=15)
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


def test_tiny_gradients_are_clipped_as_pytorch_clips_them():
    """Where a norm is near the 1e-6 that is added to it."""
    sae, _ = twins("gated", 16, 24, 2, torch.float64)
    step, limit = Step(sae, 64, torch.float64), 1e-6
    for value in step.grads.values():
        value.normal_(generator=torch.Generator().manual_seed(3)).mul_(1e-7)
    theirs = [torch.zeros_like(value) for value in step.grads.values()]
    for parameter, value in zip(theirs, step.grads.values(), strict=True):
        parameter.grad = value.clone()
    norm = torch.nn.utils.clip_grad_norm_(theirs, limit)
    assert limit < norm < 5 * limit
    Optimiser(step, replace(RECIPE, clip_gradient_norm=limit))._clip_gradients()
    for parameter, value in zip(theirs, step.grads.values(), strict=True):
        torch.testing.assert_close(value, parameter.grad, rtol=1e-9, atol=0)


def test_free_rows_keep_the_radial_part_of_their_gradient_and_any_norm():
    sae, _ = twins("gated", 16, 24, 2, torch.float64)
    sae.unit_rows = False
    sae.params["W_dec"].mul_(0.5)
    (x,) = batches(1, 64, 16, 6, torch.float64)
    step = Step(sae, 64, torch.float64)
    step(x, 0.1)
    rows, expected = sae.params["W_dec"].clone(), step.grads["W_dec"].clone()
    assert (rows * expected).sum(1).abs().max() > 1e-3
    Optimiser(step, RECIPE).step(x, 0.1, 0.01)
    assert torch.equal(step.grads["W_dec"], expected)
    moved = sae.params["W_dec"] - rows
    torch.testing.assert_close(moved, -0.01 * expected.sign(), rtol=1e-2, atol=1e-4)


def test_a_limit_that_no_gradient_reaches_changes_no_bit():
    one, other = twins("gated", 16, 24, 2, torch.float32)
    plain = Optimiser(CpuStep(one, 64, torch.float32), RECIPE)
    limited = Optimiser(CpuStep(other, 64, torch.float32), replace(RECIPE, clip_gradient_norm=1e9))
    for x in batches(4, 64, 16, 6, torch.float32):
        plain.step(x, 0.1, 0.01)
        limited.step(x, 0.1, 0.01)
    for key, value in one.params.items():
        assert torch.equal(value, other.params[key]), key


def reference_step(params, grads, moments, counts, rate, beta2=0.999):
    """Adam(0, beta2) in float64, written from its definition, and a gate's constraints.

    Args:
        counts: [H] steps of each latent since its moments were cleared, and of all else.
    """
    grads = {name: value.copy() for name, value in grads.items()}
    rows = params["W_dec"]
    grads["W_dec"] -= rows * (rows * grads["W_dec"]).sum(1, keepdims=True)
    for name, value in params.items():
        moments[name] = beta2 * moments[name] + (1 - beta2) * grads[name] ** 2
        n = counts[-1] if name == "b_dec" else counts[:-1]
        unbiased = moments[name] / (1 - beta2 ** (n[:, None] if name == "W_dec" else n))
        value -= rate * grads[name] / (np.sqrt(unbiased) + 1e-8)
    params["W_dec"] /= np.linalg.norm(params["W_dec"], axis=1, keepdims=True)
    params["theta"][:] = np.maximum(params["theta"], 0)


@pytest.mark.parametrize("kind", [Optimiser, FusedOptimiser])
def test_the_steps_are_those_of_a_float64_reference(kind):
    """Four steps; after the second one, latent 1 is reset."""
    d, width, b = 5, 3, 7
    sae, _ = twins("sagsae_tied", d, width, 2, torch.float64)
    sae.params["theta"].fill_(0.01)
    made = CpuStep if kind is FusedOptimiser else Step
    run = kind(made(sae, b, torch.float64), RECIPE)
    params = {name: value.numpy().copy() for name, value in sae.params.items()}
    moments = {name: np.zeros_like(value) for name, value in params.items()}
    counts = np.zeros(width + 1, int)
    for n, x in enumerate(batches(4, b, d, 8, torch.float64)):
        if n == 2:
            run.forget(torch.tensor([False, True, False]))
            counts[1] = 0
            for name in ("W_enc", "theta", "r", "c"):
                moments[name][..., 1] = 0
            moments["W_dec"][1] = 0
        counts += 1
        step = Step(sae, b, torch.float64)
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


@pytest.mark.parametrize("kind", [Optimiser, FusedOptimiser])
def test_a_step_tells_what_fires(kind):
    sae, _ = twins("sagsae_tied", 6, 4, 1, torch.float32)
    sae.params["theta"].copy_(torch.tensor([0.01, 0.02, 1e3, 0.03]))
    run = kind((CpuStep if kind is FusedOptimiser else Step)(sae, 9, torch.float32), RECIPE)
    fired = torch.zeros(4, dtype=torch.bool)
    (x,) = batches(1, 9, 6, 5, torch.float32)
    expected = (sae.encode(x) != 0).any(0)
    run.step(x, 0.1, 0.01, fired)
    assert torch.equal(fired, expected)
    assert fired[0]
    assert not fired[2]


def test_the_plain_step_is_made_in_order(monkeypatch):
    order = []

    class Noted(Step):
        def __call__(self, x, lam, fired=None):
            order.append("gradients")
            return super().__call__(x, lam, fired)

        def refresh(self):
            order.append("operands")
            super().refresh()

    sae, _ = twins("sagsae", 6, 4, 1, torch.float32)
    run = Optimiser(Noted(sae, 9, torch.bfloat16), RECIPE)
    for owner, name in ((run._adam, "step"), (sae, "constrain"), (run, "_remove_radial_gradient")):
        inner = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *a, inner=inner, name=name: (order.append(name), inner(*a))[1]
        )
    order.clear()
    run.step(batches(1, 9, 6, 5, torch.float32)[0], 0.1, 0.5)
    assert order == ["gradients", "_remove_radial_gradient", "step", "constrain", "operands"]
    assert torch.equal(run.compute.W_enc, sae.params["W_enc"].bfloat16())


def test_the_fused_step_ends_with_the_constraints_of_the_vectors(monkeypatch):
    order = []
    sae, _ = twins("sagsae", 6, 4, 1, torch.float32)
    run = FusedOptimiser(CpuStep(sae, 9, torch.float32), RECIPE)
    for owner, name in ((run.compute, "descend"), (run._adam, "step"), (sae, "project")):
        inner = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *a, inner=inner, name=name: (order.append(name), inner(*a))[1]
        )
    run.step(batches(1, 9, 6, 5, torch.float32)[0], 0.1, 0.5)
    assert order == ["descend", "step", "project"]


def test_the_rates_of_a_fused_step():
    sae, _ = twins("sagsae_tied", 6, 4, 1, torch.float32)
    recipe = Recipe(steps=8, batch_size=1, lam=0.0, learning_rate=0.02, beta2=0.75)
    run = FusedOptimiser(CpuStep(sae, 9, torch.bfloat16), recipe)
    rates = run._rates(2, 0.125)
    once = 1 / math.sqrt(1 - 0.75**2)
    assert (rates.step, rates.beta2, rates.fresh) == (2, 0.75, 0.25)
    assert rates.correction.tolist() == pytest.approx([once] * 4)
    assert (rates.learning_rate, rates.epsilon) == (0.125, np.float32(1e-8))
    assert rates.tiny == np.finfo(np.float32).tiny
    kinds = (rates.fresh, rates.learning_rate, rates.epsilon, rates.tiny, rates.correction)
    assert {value.dtype for value in kinds} == {np.dtype(np.float32)}
    run._adam.count = 3
    run.forget(torch.tensor([False, True, False, True]))
    later = run._rates(5, 0.1).correction.tolist()
    assert later == pytest.approx([1 / math.sqrt(1 - 0.75**5), once] * 2)


def kept(width: int, d: int, clock: list[int], dtype=torch.float32):
    """A state of moments that are all one."""
    shapes = {"W_enc": (d, width), "W_dec": (width, d), "b_dec": (d,)}
    shapes |= dict.fromkeys(("theta", "r", "c"), (width,))
    moments = {
        f"exp_avg_sq.{name}": torch.ones(shape, dtype=dtype) for name, shape in shapes.items()
    }
    return {**moments, "clock": torch.tensor(clock), "cleared": torch.tensor([0, 3, 0, 0])}


def test_what_is_read_decays_to_the_step_that_it_is_read_at():
    sae, _ = twins("sagsae_tied", 6, 4, 1, torch.float32)
    recipe = Recipe(steps=8, batch_size=1, lam=0.0, learning_rate=0.02, beta2=0.5)
    run, tensors = Optimiser(Step(sae, 9, torch.bfloat16), recipe), kept(4, 6, [5, 4, 2, 5])
    sae.params["W_enc"].fill_(3.0)
    run.load_state(tensors, 5)
    state, decay = run.state(), torch.tensor([1.0, 0.5, 0.125, 1.0])
    assert torch.equal(state["exp_avg_sq.W_enc"], decay.expand(6, 4))
    assert torch.equal(state["exp_avg_sq.W_dec"], decay[:, None].expand(4, 6))
    for name in ("b_dec", "theta", "r", "c"):
        assert set(state[f"exp_avg_sq.{name}"].tolist()) == {1.0}
    assert (state["clock"].tolist(), state["cleared"].tolist()) == ([5] * 4, [0, 3, 0, 0])
    assert state["clock"].dtype == torch.int64
    assert (run._adam.count, run._adam.reset.tolist()) == (5, [1])
    assert torch.equal(tensors["exp_avg_sq.W_dec"], torch.ones(4, 6)), "what was given stays"
    assert run.compute.W_enc.unique().tolist() == [3.0]


def test_a_fused_step_reads_its_own_clock():
    sae, _ = twins("sagsae_tied", 6, 4, 1, torch.float32)
    run, tensors = FusedOptimiser(CpuStep(sae, 9, torch.bfloat16), RECIPE), kept(4, 6, [5, 4, 2, 5])
    sae.params["W_dec"].fill_(3.0)
    run.load_state(tensors, 5)
    state = run.state()
    assert state.keys() == tensors.keys()
    for name, value in tensors.items():
        assert torch.equal(state[name], value), name
        assert state[name].dtype == value.dtype, name
    assert (run._adam.count, run._adam.reset.tolist()) == (5, [1])
    assert run.compute.W_dec.unique().tolist() == [3.0]
    run.forget(torch.tensor([False, False, True, False]))
    state = run.state()
    assert state["exp_avg_sq.W_enc"].sum(0).tolist() == [6, 6, 0, 6]
    assert state["exp_avg_sq.W_dec"].sum(1).tolist() == [6, 6, 0, 6]
    assert state["exp_avg_sq.theta"].tolist() == [1, 1, 0, 1]
    assert state["cleared"].tolist() == [0, 3, 5, 0]


def test_what_is_no_gate_keeps_its_gradients_and_its_moments(tmp_path, monkeypatch):
    """Its decoder's gradient is as autograd gave it, and nothing of it was put off."""
    with installed(tmp_path, monkeypatch) as name:
        sae = variant(f"{name}:TopK")(6, 8, 1.0)
    sae.initialise(torch.zeros(6), 0)
    run = optimiser(AutogradStep(sae, torch.float32), RECIPE)
    assert type(run) is Optimiser
    before = {key: value.clone() for key, value in run.compute.params.items()}
    run.step(batches(1, 9, 6, 5, torch.float32)[0], 0.1, 0.25)
    grads = run.compute.grads
    radial = (grads["W_dec"] * before["W_dec"]).sum(1)
    assert radial.abs().max() > 1e-3
    state = {key: value.clone() for key, value in run.state().items()}
    torch.testing.assert_close(state["exp_avg_sq.W_dec"], 0.001 * grads["W_dec"] ** 2)
    run.load_state(state | {"clock": state["clock"] - 1}, 1)
    assert torch.equal(run.state()["exp_avg_sq.W_dec"], state["exp_avg_sq.W_dec"])
