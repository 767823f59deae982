"""The moments and steps of `Adam` are those of `torch.optim.Adam`, which stays unimported."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from sagsae.training.adam import EPSILON, Adam

SHAPES = {"W": (5, 7), "V": (7, 4), "theta": (7,), "b": (3,)}
AXES = {"W": 1, "V": 0, "theta": 0}


def tensors(generator: torch.Generator, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {
        name: torch.randn(shape, generator=generator, dtype=dtype) for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("betas", [(0.0, 0.999), (0.9, 0.99)])
def test_the_steps_of_pytorch(betas, dtype):
    generator = torch.Generator().manual_seed(0)
    params, grads = tensors(generator, dtype), tensors(generator, dtype)
    expected = {name: value.clone() for name, value in params.items()}
    for name, value in expected.items():
        value.grad = grads[name]
    theirs = torch.optim.Adam(expected.values(), betas=betas, eps=EPSILON, fused=True)
    ours = Adam(params, grads, betas, AXES, 7)
    for step in range(9):
        if step == 5:  # a run that was stopped
            kept, ours = ours.state(), Adam(params, grads, betas, AXES, 7)
            ours.load_state(kept, step)
        for name, fresh in tensors(generator, dtype).items():
            grads[name].copy_(fresh)
        for group in theirs.param_groups:
            group["lr"] = 0.1 / (step + 1)
        theirs.step()
        ours.step(0.1 / (step + 1))
        for name, value in expected.items():
            assert torch.equal(params[name], value), (step, name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("betas", [(0.0, 0.999), (0.9, 0.99)])
def test_latents_that_are_reset_step_as_if_training_began_there(betas, dtype):
    """The others do not notice; a run that was stopped afterwards continues alike."""
    generator = torch.Generator().manual_seed(1)
    params, grads = tensors(generator, dtype), tensors(generator, dtype)
    untouched = {name: value.clone() for name, value in params.items()}
    ours, other = Adam(params, grads, betas, AXES, 7), Adam(untouched, grads, betas, AXES, 7)
    some = torch.tensor([True, False, False, True, False, True, False])
    for step in range(12):
        if step == 5:
            ours.forget(some)
            fresh = {name: value.clone() for name, value in params.items()}
            anew = Adam(fresh, grads, betas, AXES, 7)
        if step == 8:
            kept, ours = ours.state(), Adam(params, grads, betas, AXES, 7)
            ours.load_state(kept, step)
        for name, value in tensors(generator, dtype).items():
            grads[name].copy_(value)
        for adam in (ours, other, anew) if step >= 5 else (ours, other):
            adam.step(0.1)
    for name, axis in AXES.items():
        found, expected, still = (
            tensors[name].movedim(axis, -1) for tensors in (params, fresh, untouched)
        )
        torch.testing.assert_close(found[..., some], expected[..., some])
        assert torch.equal(found[..., ~some], still[..., ~some])
    assert torch.equal(params["b"], untouched["b"])


def test_the_state_has_the_names_of_a_checkpoint():
    params, grads = ({"b": torch.zeros(2), "theta": torch.zeros(3)} for _ in range(2))
    names = {"exp_avg_sq.b", "exp_avg_sq.theta", "cleared"}
    assert Adam(params, grads, (0.0, 0.9), {"theta": 0}, 3).state().keys() == names
    momentum = Adam(params, grads, (0.9, 0.9), {"theta": 0}, 3).state().keys()
    assert momentum == names | {"exp_avg.b", "exp_avg.theta"}


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_a_tiny_gradient_is_weighed_against_epsilon(rate):
    """Gradients of 1e-8 move half as far as large ones, of a latent that was reset as well."""
    assert EPSILON == 1e-8
    params = {"theta": torch.zeros(3, dtype=torch.float64)}
    grads = {"theta": torch.tensor([1e-8, 1.0, 1e-8], dtype=torch.float64)}
    adam = Adam(params, grads, (0.0, 0.999), {"theta": 0}, 3)
    adam.forget(torch.tensor([False, False, True]))
    adam.count, adam.reset = 0, torch.tensor([2])
    adam.step(rate)
    assert params["theta"].tolist() == pytest.approx([-rate / 2, -rate, -rate / 2])


def test_all_that_is_counted_lies_with_the_parameters():
    meta = {"theta": torch.zeros(3, device="meta")}
    adam = Adam(meta, meta, (0.0, 0.9), {"theta": 0}, 3)
    assert {one.device.type for one in (adam.cleared, adam.reset, *adam._steps)} == {"meta"}
    adam = Adam({"theta": torch.zeros(3)}, meta, (0.0, 0.9), {"theta": 0}, 3)
    assert (adam.cleared.dtype, adam.cleared.tolist()) == (torch.int64, [0, 0, 0])
    assert (adam.count, adam.reset.tolist()) == (0, [])


TRAINING = """
import sys, torch
from benchmarks.ours import sparse_batches, trainer
trainer("gated", 16, list(sparse_batches(1, 8, 4)), None)._advance()
sys.exit("torch._dynamo" in sys.modules)
"""


@pytest.mark.slow
def test_a_step_does_not_import_the_compiler():
    assert subprocess.run([sys.executable, "-c", TRAINING]).returncode == 0
