"""Losses and gradients of the families beside SAELens's and dictionary_learning's own code.

Where they differ, the difference is named here, and is what the library's code says.
"""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sagsae.training.autograd_step import AutogradStep
from tests.peers import environment
from tests.sagsae.autoencoders.test_ungated import made

pytestmark = pytest.mark.long

K, LAM, D, WIDTH, ROWS = 3, 0.3, 8, 40, 10
EXACT = {"rtol": 1e-9, "atol": 1e-11}
IN_FLOAT32 = {"rtol": 1e-5, "atol": 1e-7}
"""dictionary_learning computes AuxK, and keeps the bandwidth, in float32."""
BASE = {"encoder_input": "centred", "auxk_latents": D // 2}


def autoencoder(name: str, **changes):
    return made(name, D, WIDTH, 11, **BASE | changes)


@pytest.fixture(scope="module")
def given() -> dict[str, Tensor]:
    """Weights of all variants, a batch, and dead latents, none of which fires in it."""
    sae = autoencoder("jumprelu")
    values = {name: value.clone() for name, value in sae.params.items()}
    values["threshold"] += 0.01  # off half a bandwidth, where a rounding decides
    values["x"] = torch.randn(ROWS, D, generator=torch.Generator().manual_seed(3)).double()
    dead = torch.ones(WIDTH, dtype=torch.bool)
    for name in ("topk", "batchtopk", "abstopk"):
        twin = autoencoder(name)
        own = {key: values[key] for key in twin.params}
        twin.load_state_dict({**twin.state_dict(), **own})
        pre = twin.pre_activations(values["x"])
        dead &= ~(twin.select(pre, twin.params, K) != 0).any(0)
    assert int(dead.sum()) > 2
    return {**values, "dead": dead.long()}


@pytest.fixture(scope="module")
def theirs(given, tmp_path_factory) -> dict[str, Tensor]:
    folder = tmp_path_factory.mktemp("losses")
    save_file({name: value.contiguous() for name, value in given.items()}, folder / "in")
    environment.run("family_losses.py", folder / "in", folder / "out")
    return load_file(folder / "out")


def ours(name: str, given: dict[str, Tensor], knob: float, dead: bool = False, **changes):
    """Loss and gradients, with the weights that were given."""
    sae = autoencoder(name, **changes)
    sae.load_state_dict({**sae.state_dict(), **{k: given[k] for k in sae.params}})
    sae.variance, sae.dead = 1.0, given["dead"].bool() if dead else None
    step = AutogradStep(sae, torch.float64)
    step(given["x"], knob)
    loss = sum(sae.loss(given["x"], knob).values())
    return {"loss": loss.detach(), **step.grads}


def agree(
    found: dict[str, Tensor],
    theirs: dict[str, Tensor],
    run: str,
    bounds: dict[str, float] = EXACT,
):
    for key, value in found.items():
        expected = theirs[f"{run}.{key}"]
        torch.testing.assert_close(value, expected, **bounds, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["topk", "abstopk", "batchtopk", "matryoshka_batchtopk"])
def test_saelens_without_dead_latents(given, theirs, name):
    agree(ours(name, given, K), theirs, f"saelens.{name}")


@pytest.mark.slow
def test_saelens_relu_and_jump_relu(given, theirs):
    agree(ours("relu", given, LAM, decoder_norm="free"), theirs, "saelens.relu")
    agree(ours("jumprelu", given, LAM), theirs, "saelens.jumprelu")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["topk", "batchtopk"])
@pytest.mark.parametrize("dead", [False, True])
def test_dictionary_learning(given, theirs, name, dead):
    """AuxK included: 1/32 of the share of the error's variance, its k d / 2."""
    bounds = IN_FLOAT32 if dead else EXACT
    agree(ours(name, given, K, dead), theirs, f"dl.{name}{'-dead' * dead}", bounds=bounds)


@pytest.mark.slow
def test_dictionary_learning_relu_and_jump_relu_value(given, theirs):
    agree(ours("relu", given, LAM, decoder_norm="free"), theirs, "dl.relu")
    jumping = ours("jumprelu", given, 0.0, encoder_input="plain")
    agree(jumping, theirs, "dl.jumprelu", bounds=IN_FLOAT32)
