"""The moments and steps of `Adam` are those of `torch.optim.Adam`, which stays unimported."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from sagsae.training.adam import EPSILON, Adam

SHAPES = {"W": (5, 7), "theta": (7,), "b": (3,)}


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
    ours = Adam(params, grads, betas)
    for step in range(9):
        if step == 5:  # a run that was stopped
            kept, ours = ours.state(), Adam(params, grads, betas)
            ours.load_state(kept, step)
        for name, fresh in tensors(generator, dtype).items():
            grads[name].copy_(fresh)
        for group in theirs.param_groups:
            group["lr"] = 0.1 / (step + 1)
        theirs.step()
        ours.step(0.1 / (step + 1))
        for name, value in expected.items():
            assert torch.equal(params[name], value), (step, name)


def test_some_latents_are_forgotten():
    generator = torch.Generator().manual_seed(1)
    params, grads = tensors(generator, torch.float32), tensors(generator, torch.float32)
    adam = Adam(params, grads, (0.9, 0.99))
    adam.step(0.1)
    kept = {name: value.clone() for name, value in adam.state().items()}
    some = torch.tensor([True, False, False, True, False, True, False])
    adam.forget(["theta"], some)
    for key in ("exp_avg", "exp_avg_sq"):
        found = adam.state()[f"{key}.theta"]
        assert not found[some].any()
        assert torch.equal(found[~some], kept[f"{key}.theta"][~some])
        assert torch.equal(adam.state()[f"{key}.W"], kept[f"{key}.W"])


TRAINING = """
import sys, torch
from benchmarks.ours import sparse_batches, trainer
trainer("gated", 16, list(sparse_batches(1, 8, 4)), None)._advance()
sys.exit("torch._dynamo" in sys.modules)
"""


@pytest.mark.slow
def test_a_step_does_not_import_the_compiler():
    assert subprocess.run([sys.executable, "-c", TRAINING]).returncode == 0
