"""Every variant against its formulas in float64: codes, loss terms and every gradient."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import sagsae
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.registry import GATED, of_family
from sagsae.autoencoders.weights import build, class_of, load
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.cpu_step import CpuStep
from sagsae.training.recipe import Recipe
from tests.sagsae.autoencoders import reference

NAMES = of_family(GATED)
PATHS = {
    "autograd": lambda sae, _, dtype: AutogradStep(sae, dtype),
    "entries": partial(CpuStep, dense_from=torch.inf),
    "dense": partial(CpuStep, dense_from=0.0),
}


def random_autoencoder(
    name: str, d: int, width: int, seed: int, dtype=torch.float64
) -> Autoencoder:
    generator = torch.Generator().manual_seed(seed)
    sae = class_of(name)(d, width).to(dtype)
    for key, value in sae.params.items():
        value.copy_(torch.randn(value.shape, generator=generator, dtype=dtype) * 0.3)
        if key.startswith("theta"):
            value.abs_()
    sae.normalise_decoder()
    return sae


def batch(b: int, d: int, seed: int) -> Tensor:
    return torch.randn(b, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reference_gradients(sae: Autoencoder, x: Tensor, lam: float):
    params = {key: value.clone().requires_grad_() for key, value in sae.params.items()}
    terms = reference.loss(sae.name, params, x, lam)
    terms["total"].backward()
    return terms, {key: value.grad for key, value in params.items()}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(
    d=st.integers(1, 12),
    width=st.integers(1, 20),
    b=st.integers(1, 17),
    lam=st.floats(0, 3),
    seed=st.integers(0, 2**31),
    path=st.sampled_from(list(PATHS)),
)
def test_step_equals_autograd(name, d, width, b, lam, seed, path):
    sae, x = random_autoencoder(name, d, width, seed), batch(b, d, seed + 1)
    step = PATHS[path](sae, b, torch.float64)
    terms = step(x, lam)
    expected, grads = reference_gradients(sae, x, lam)
    for key in ("reconstruction", "penalty", "auxiliary", "l0"):
        torch.testing.assert_close(
            getattr(terms, key), expected[key].detach(), rtol=1e-10, atol=1e-12
        )
    for key, value in grads.items():
        torch.testing.assert_close(
            step.grads[key], value, rtol=1e-9, atol=1e-11, msg=lambda m, k=key: f"{k}: {m}"
        )


@pytest.mark.parametrize("name", NAMES)
def test_silent_latents_are_set_back(name):
    sae = random_autoencoder(name, 8, 6, 5)
    sae.initialise(torch.zeros(8), seed=1)
    before = {}
    for key, value in sae.params.items():
        value += 0.5
        before[key] = value.clone()
    silent = torch.arange(6) % 2 == 0
    sae.reset_latents(silent)
    for key, value in sae.params.items():
        expected = before[key].clone()
        if key in sae.vectors and not key.startswith("r"):
            expected[silent] = 1.2 / 8**0.5 if key.startswith("theta") else 0.0
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("name", NAMES)
def test_initialisation(name):
    sae, mean = build(name, 64, 32), torch.zeros(64)
    mean[:3] = 0.5
    sae.initialise(mean, seed=1)
    rows = sae.params["W_dec"]
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(32))
    assert torch.equal(sae.params["W_enc"], rows.T)
    assert torch.equal(sae.params["b_dec"], mean)
    thetas = [value for key, value in sae.params.items() if key.startswith("theta")]
    assert bool(thetas) == (name != "gated")
    for theta in thetas:
        torch.testing.assert_close(theta, torch.full((32,), 1.2 / 8 * 0.5))


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"gated"}))
def test_thresholds_grow_with_the_norm_of_the_activations(name):
    mean = torch.full((64,), 0.1)
    one, other = build(name, 64, 32), build(name, 64, 32)
    how = {"steps": 1, "batch_size": 1, "lam": 0.1, "learning_rate": 0.1}
    one.initialise(mean, 1, Recipe(**how))
    other.initialise(8 * mean, 1, Recipe(**how, input_norm="sqrt_d"))
    assert one.initial_theta > 0.05
    assert other.initial_theta == pytest.approx(8 * one.initial_theta)


def test_a_file_says_where_its_weights_come_from(tmp_path):
    """It keeps saying so when it is saved again, and equal weights give equal files."""
    sae, origin = build("gated", 6, 9), {"model": "small", "layer": 3, "recipe": {"steps": 4}}
    one, other = tmp_path / "one", tmp_path / "other"
    sae.save(one, origin)
    again = load(one)
    assert again.provenance == origin | {
        "versions": {"sagsae": sagsae.__version__, "torch": torch.__version__}
    }
    again.save(other)
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    "content", [b"", b"not a safetensors file at all", b"\x08\0\0\0\0\0\0\0{}      "]
)
def test_hostile_weight_files(content, tmp_path):
    path = tmp_path / "sae.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"sae\.safetensors"):
        load(path)


def test_weights_of_another_shape_are_refused(tmp_path):
    sae = build("gated", 4, 8)
    sae.b_mag = torch.nn.Parameter(torch.zeros(7))
    sae.save(tmp_path / "sae.safetensors")
    with pytest.raises(ValueError, match="b_mag"):
        load(tmp_path / "sae.safetensors")


@pytest.mark.parametrize("name", NAMES)
def test_no_gate_and_every_gate_may_be_open(name):
    sae, x = random_autoencoder(name, 8, 16, 5, torch.float32), batch(64, 8, 6).float()
    for key, value in sae.params.items():
        if key.startswith(("theta", "b_gate")):
            value.fill_(1e3 if key.startswith("theta") else -1e3)
    step = CpuStep(sae, 64, torch.float32)
    fired = torch.zeros(16, dtype=torch.bool)
    assert step(x, 0.1, fired).l0 == 0
    assert not fired.any()
    for key, value in sae.params.items():
        if key.startswith(("theta", "b_gate", "c", "b_mag")):
            value.fill_(0 if key.startswith("theta") else 1e3)
    assert step(x, 0.1, fired).l0 == (8 if name == "sagsae_onesided" else 16)
    assert fired.all()
