"""Transcoders: every family from one place to another, against the formulas in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import sagsae
from sagsae.autoencoders.base import Target
from sagsae.autoencoders.declaration import first_rows
from sagsae.autoencoders.linear_map import LinearMap
from sagsae.autoencoders.registry import VARIANTS
from sagsae.autoencoders.weights import build
from sagsae.evaluation.metrics import evaluate_reconstruction
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.cpu_step import CpuStep
from sagsae.training.optimiser import fastest_step
from sagsae.training.recipe import Recipe
from sagsae.training.trainer import Interrupted, Trainer
from tests.sagsae.autoencoders import reference, ungated_reference

B, D, H, K, LAM = 48, 10, 24, 4, 0.07
SIZES = [D, D + 5]


def pairs(d_out: int, rows: int = B, seed: int = 0) -> tuple[Tensor, Tensor]:
    """What is read and what is predicted: a linear map of it, and one of its positive part."""
    maps = torch.Generator().manual_seed(7)
    linear, bent = (torch.randn(D, d_out, generator=maps, dtype=torch.float64) for _ in range(2))
    x = 1 + torch.randn(rows, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x, x @ linear / 3 + x.relu() @ bent + 2


def made(name: str, d_out: int, skip: bool) -> tuple[sagsae.Autoencoder, Recipe, Tensor, Tensor]:
    """A transcoder whose weights are at random, two of whose latents are dead, and a batch."""
    x, y = pairs(d_out)
    knob = {"k": K, "lam": 0.0} if "topk" in name else {"lam": LAM}
    recipe = Recipe(steps=9, batch_size=B, learning_rate=1e-3, skip=skip, **knob)
    sae = build(name, D, H, 1.0, Target(d_out, 1.0, skip)).double()
    sae.initialise(x.mean(0), 0, recipe)
    sae.start_from(LinearMap.fit([torch.cat([x, y], 1)], D), recipe)
    noise = torch.Generator().manual_seed(3)
    for value in sae.params.values():
        value += 0.1 * torch.randn(value.shape, generator=noise, dtype=torch.float64).abs()
    sae.constrain()
    sae.dead = torch.arange(H) < 2
    return sae, recipe, x, y


def formula(sae: sagsae.Autoencoder, x: Tensor, y: Tensor, knob: float) -> dict[str, Tensor]:
    """Loss by term and gradient by parameter, as docs/method.md writes them."""
    p = {name: value.clone().requires_grad_() for name, value in sae.params.items()}
    name, centred = sae.name, x - x.mean(0)
    pre = centred @ p["W_enc"] + p.get("b_enc", 0.0)
    left = y - centred @ p["W_skip"] if "W_skip" in p else y
    terms: dict[str, Tensor] = {}
    if name in reference.CODES:
        z, a, gate = reference.CODES[name](pre, p)
        terms["penalty"] = LAM * gate.sum(1).mean()
        if name not in reference.WITHOUT_AUXILIARY:
            error = left.detach() - a @ p["W_dec"].detach() - p["b_dec"].detach()
            terms["auxiliary"] = error.square().sum(1).mean()
    else:
        z = ungated_reference.code(name, p, pre, int(knob))
    error = left - z @ p["W_dec"] - p["b_dec"]
    terms["reconstruction"] = error.square().sum(1).mean()
    if name in ungated_reference.MATRYOSHKA:
        for end in ungated_reference.ends(H)[:-1]:
            part = left - z[:, :end] @ p["W_dec"][:end] - p["b_dec"]
            terms[f"level {end}"] = part.square().sum(1).mean()
    if name in ("relu", "absrelu"):
        terms["penalty"] = LAM * z.abs().sum(1).mean()
    if "topk" in name:
        found = ungated_reference.auxiliary(
            name, p, pre, error.detach(), sae.dead, sae.auxk_latents
        )
        terms["auxiliary"] = sae.auxk_coefficient * sae.variance * found
    torch.stack(list(terms.values())).sum().backward()
    return {name: value.grad for name, value in p.items() if value.grad is not None}


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("d_out", SIZES)
@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_are_those_of_the_formulas(name, d_out, skip):
    sae, recipe, x, y = made(name, d_out, skip)
    knob = float(recipe.k or recipe.lam)
    expected = formula(sae, x, y, knob)
    fast = fastest_step(sae, recipe, torch.float64, torch.device("cpu"))
    assert isinstance(fast, CpuStep) == (d_out == D)
    plain = AutogradStep(sae, torch.float64)
    steps = [plain] if isinstance(fast, AutogradStep) else [plain, fast, fast]
    for step, dense_from in zip(steps, (None, 0.0, torch.inf), strict=False):
        if isinstance(step, CpuStep):
            step.dense_from = dense_from
        step(x, knob, None, y)
        for key, value in step.grads.items():
            # A kernel's estimate has no formula here: both steps have the same.
            kernel = key == "threshold" and sae.bandwidth
            wanted = plain.grads[key] if kernel else expected.get(key, torch.zeros_like(value))
            torch.testing.assert_close(value, wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("d_out", "skip"), [(D, False), (D + 5, True)])
def test_encode_decode_and_the_whole_in_raw_units(d_out, skip, tmp_path):
    x, y = (value.float() for value in pairs(d_out, 4096))
    sae, _ = sagsae.train((x, y), "absbatchtopk", H, k=K, batch_size=64, tokens=12_800, skip=skip)
    batch = x[:50]
    expected = sae.decode(sae.encode(batch))
    if skip:
        centred = batch * sae.scale - sae.centre
        expected = expected + centred @ sae.W_skip / sae.out_scale
    torch.testing.assert_close(sae(batch), expected)
    path = tmp_path / "t.safetensors"
    sae.save(path)
    again = sagsae.load(path)
    assert torch.equal(again(batch), sae(batch))
    assert again.target == sae.target == Target(d_out, sae.out_scale, skip)
    metrics = evaluate_reconstruction(sae, [torch.cat([x, y], 1)])
    error = (y - sae(x)).double().square().sum()
    spread = (y - y.mean(0)).double().square().sum()
    assert metrics.r2 == pytest.approx(1 - float(error / spread), abs=1e-5)


@pytest.mark.parametrize("d_out", SIZES)
def test_with_a_skip_it_ends_above_the_best_linear_map(d_out):
    x, y = (value.float() for value in pairs(d_out, 8192))
    rows = [torch.cat([x, y], 1)]
    linear = LinearMap.fit(rows, D)
    inputs = np.c_[x.numpy(), np.ones(len(x))].astype(np.float64)
    solved, *_ = np.linalg.lstsq(inputs, y.numpy().astype(np.float64), rcond=None)
    np.testing.assert_allclose(linear.weight.numpy(), solved[:-1], atol=1e-3)
    error = y.numpy() - inputs @ solved
    r2 = 1 - (error**2).sum() / ((y.numpy() - y.numpy().mean(0)) ** 2).sum()
    assert linear.r2(rows) == pytest.approx(r2, abs=1e-4)
    settings = {"k": K, "batch_size": 128, "tokens": 256_000, "skip": True, "learning_rate": 5e-3}
    sae, _ = sagsae.train((x, y), "batchtopk", 4 * H, **settings)
    assert evaluate_reconstruction(sae, rows).r2 > r2 + 0.01


def plain_training(x: Tensor, y: Tensor, width: int, steps: int, batch: int, rate: float) -> float:
    """R2 after training ReLU transcoders in PyTorch's own words, on the batches in order."""
    rows = torch.randn(width, D, generator=torch.Generator().manual_seed(0))
    rows /= rows.norm(dim=1, keepdim=True)
    scales = [float(v.square().sum(1).mean()) ** -0.5 for v in (x, y)]
    x, y = x * scales[0], y * scales[1]
    centre, mean = x.mean(0), y.mean(0)
    W_enc, W_dec = rows.T.clone(), first_rows(width, D, 2**31)
    params = [W_enc, W_dec, torch.zeros(width), mean.clone()]
    for value in params:
        value.requires_grad_()
    adam = torch.optim.Adam(params, lr=rate, betas=(0.0, 0.999))

    def predict(x: Tensor) -> tuple[Tensor, Tensor]:
        z = ((x - centre) @ params[0] + params[2]).relu()
        return z, z @ params[1] + params[3]

    for step in range(steps):
        part = slice(step * batch, (step + 1) * batch)
        z, y_hat = predict(x[part])
        adam.zero_grad()
        ((y[part] - y_hat).square().sum(1).mean() + 0.01 * z.sum(1).mean()).backward()
        with torch.no_grad():
            grad, W = params[1].grad, params[1]
            grad -= (grad * W).sum(1, keepdim=True) * W
            adam.step()
            W /= W.norm(dim=1, keepdim=True)
    with torch.no_grad():
        error = (y - predict(x)[1]).square().sum()
    return 1 - float(error / (y - y.mean(0)).square().sum())


def test_a_whole_training_is_that_of_plain_pytorch():
    steps, batch = 400, 64
    x, y = (value.float() for value in pairs(D, steps * batch))
    expected = plain_training(x, y, H, steps, batch, 2e-3)
    sae, _ = sagsae.train(
        iter([(x, y)]),
        "relu",
        H,
        0.01,
        tokens=steps * batch,
        batch_size=batch,
        learning_rate=2e-3,
        lr_warmup_steps=0,
        lambda_warmup_steps=0,
        lr_decay_fraction=0.0,
        matmul_dtype="float32",
    )
    assert evaluate_reconstruction(sae, [torch.cat([x, y], 1)]).r2 == pytest.approx(
        expected, abs=0.002
    )


@pytest.mark.parametrize(("name", "d_out"), [("sagsae_tied", D), ("batchtopk", D + 5)])
def test_a_run_that_was_stopped_ends_with_equal_weights(name, d_out, tmp_path, monkeypatch):
    data = tuple(value.float() for value in pairs(d_out, 2048))
    knob = {"k": K} if "topk" in name else {"lam": 0.02}
    settings = {**knob, "batch_size": 64, "tokens": 6400, "skip": True}
    whole, _ = sagsae.train(data, name, H, **settings)
    path = tmp_path / "c.safetensors"
    advance = Trainer._advance

    def stopping(self: Trainer) -> None:
        advance(self)
        self.stop_requested = self.step >= 50

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_advance", stopping)
        with pytest.raises(Interrupted):
            sagsae.train(data, name, H, checkpoint=path, **settings)
    again, _ = sagsae.train(data, name, H, checkpoint=path, **settings)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_what_is_no_pair_is_named():
    x, y = (value.float() for value in pairs(D))
    with pytest.raises(ValueError, match="48 and 40 rows make no pairs"):
        sagsae.train((x, y[:40]), "relu", H, 0.1)
    with pytest.raises(ValueError, match="skip: an autoencoder has none"):
        sagsae.train(x, "relu", H, 0.1, batch_size=B, skip=True, tokens=B)
    with pytest.raises(ValueError, match="give pairs"):
        sagsae.train(x, "relu", H, 0.1, target="mlp_added")


def test_a_list_of_two_tensors_is_two_batches_and_a_tuple_a_pair():
    x, y = (value.float() for value in pairs(D))
    run = {"batch_size": B, "device": "cpu", "tokens": 2 * B}
    of_list, _ = sagsae.train([x, x], "relu", H, 0.1, **run)
    of_whole, _ = sagsae.train(iter([torch.cat([x, x])]), "relu", H, 0.1, **run)
    assert (of_list.target, of_list.d) == (None, D)
    assert torch.equal(of_list.W_dec, of_whole.W_dec)
    of_pair, _ = sagsae.train((x, y), "relu", H, 0.1, **run)
    assert of_pair.target is not None
