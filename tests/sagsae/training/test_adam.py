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


TRAINING = """
import sys, torch
from benchmarks.ours import sparse_batches, trainer
trainer("gated", 16, list(sparse_batches(1, 8, 4)), None)._advance()
sys.exit(bool({"torch._dynamo", "sympy"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_a_step_imports_neither_the_compiler_nor_sympy():
    assert subprocess.run([sys.executable, "-c", TRAINING]).returncode == 0
