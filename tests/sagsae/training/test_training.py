"""Schedules that move, the loop, its constraints, resuming and failing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from sagsae.autoencoders.weights import build
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.checkpoint import OtherRunError, save_checkpoint
from sagsae.training.optimiser import Optimiser
from sagsae.training.recipe import Recipe
from sagsae.training.step import products_dtype
from sagsae.training.trainer import Trainer

D, B = 16, 64


class PairStream:
    """Batches of two signed sparse directions each, a pure function of (seed, position)."""

    def __init__(self, seed: int = 0):
        self.seed, self.position, self.wait_seconds = seed, 0, 0.0

    def __next__(self) -> torch.Tensor:
        rng = np.random.default_rng([self.seed, self.position])
        x = np.zeros((B, D), np.float32)
        for _ in range(2):
            x[np.arange(B), rng.integers(0, D, B)] += rng.uniform(0.5, 1.5, B) * rng.choice(
                [-1, 1], B
            )
        self.position += 1
        return torch.from_numpy(x)

    def state(self):
        return {"position": self.position}

    def load_state(self, state):
        self.position = state["position"]


def recipe(**changes) -> Recipe:
    given_ = {
        "steps": 200,
        "batch_size": B,
        "lam": 0.1,
        "learning_rate": 3e-3,
        "lr_warmup_steps": 10,
        "lambda_warmup_steps": 20,
        "matmul_dtype": "float32",
    }
    return Recipe(**{**given_, **changes})


def trainer(name="sagsae_tied", width=D, stream=None, **changes) -> Trainer:
    sae = build(name, D, width, scale=0.5)
    sae.initialise(torch.zeros(D), 0)
    return Trainer(sae, stream or PairStream(), recipe(**changes), log_every=20)


@pytest.mark.parametrize("name", ["gated", "sagsae", "sagsae_sym", "sagsae_tied"])
def test_training_reconstructs_and_keeps_its_constraints(name):
    run = trainer(name, width=2 * D, steps=400)
    rows = run.run().rows
    assert rows[-1]["reconstruction"] < 0.1 * rows[0]["reconstruction"]
    torch.testing.assert_close(run.sae.params["W_dec"].norm(dim=1), torch.ones(2 * D))
    for key, value in run.sae.params.items():
        if key.startswith("theta"):
            assert value.min() >= 0


def test_a_checkpoint_that_names_no_run_is_refused(tmp_path):
    run = trainer(steps=30)
    save_checkpoint(tmp_path / "c", {"param.W_enc": run.sae.params["W_enc"]}, {"step": 3})
    with pytest.raises(OtherRunError, match="variant: None -> sagsae_tied"):
        run.run(tmp_path / "c")


@pytest.mark.parametrize("fast", [True, False])
def test_a_reopened_latent_stays_open(fast):
    """Its steps are those of a fresh optimiser: they begin at one learning rate, and none of the
    first fifty is far beyond. With the other latents' count of steps, the first was 19.9."""
    rate, window = 3e-3, 500
    run = trainer(reset_window_tokens=window * B, steps=1000, lam=0.05, learning_rate=rate)
    if not fast:
        run.compute = AutogradStep(run.sae, torch.float32)
        run.optimiser = Optimiser(run.compute, run.recipe)
    run.sae.params["theta"][3] = 1e3
    thetas = []
    while run.step < window + 50:
        run._advance()
        if run.step >= window:
            thetas.append(float(run.sae.params["theta"][3]))
    assert thetas[0] == pytest.approx(run.sae.initial_theta)
    changes = [abs(b - a) / rate for a, b in pairwise(thetas)]
    assert changes[0] <= 1.0001
    assert max(changes) < 3
    assert min(thetas[:21]) > 0.75 * run.sae.initial_theta  # was 0.39
    assert min(thetas) > 0.25 * run.sae.initial_theta  # was 0.13


@pytest.mark.parametrize(("in_hardware", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_bfloat16_that_a_gpu_only_emulates_is_not_chosen(monkeypatch, in_hardware, dtype):
    def supported(including_emulation=True):
        return in_hardware or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert products_dtype("auto", torch.device("cuda")) is getattr(torch, dtype)
