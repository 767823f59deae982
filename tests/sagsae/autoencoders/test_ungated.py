"""The families without a gate against their formulas: codes, loss terms and every gradient, by
autograd and by the fast step."""

from __future__ import annotations

import gc
import weakref
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sagsae.autoencoders.registry import (
    JUMPRELU,
    MATRYOSHKA,
    RELU,
    TOPK,
    VARIANTS,
    K,
    of_family,
)
from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.autoencoders.weights import build, load
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.cpu_step import CpuStep
from sagsae.training.recipe import Recipe
from tests.sagsae.autoencoders import ungated_reference as reference
from tests.sagsae.autoencoders.test_variants import (
    PATHS,
    batch,
    random_autoencoder,
    reference_gradients,
)

NAMES = of_family(RELU, TOPK, JUMPRELU, MATRYOSHKA)
BAND = 0.2
LOOSER = {torch.float32: 1e-4, torch.bfloat16: 0.15}


def recipe(name: str, k: int = 3, **changes) -> Recipe:
    given_ = {
        "steps": 10,
        "batch_size": 8,
        "learning_rate": 0.01,
        "bandwidth": BAND,
        "threshold_init": 0.15,
        "auxk_latents": 2,
        "dead_window_tokens": 1,
        **({"lam": 0.0, "k": k} if VARIANTS[name].knob == K else {"lam": 0.3}),
    }
    return Recipe(**given_ | changes)


def made(name: str, d: int, width: int, seed: int, **changes) -> UngatedAutoencoder:
    """A random autoencoder in float64, feasible."""
    how = recipe(name, changes.pop("k", min(3, width)), **changes)
    sae = build(name, d, width)
    generator = torch.Generator().manual_seed(seed)
    sae.initialise(0.1 * torch.randn(d, generator=generator), seed, how)
    sae = sae.double()
    for value in sae.params.values():
        value += 0.15 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
    sae.constrain()
    assert isinstance(sae, UngatedAutoencoder)
    return sae


def knob_of(sae: UngatedAutoencoder) -> float:
    return float(getattr(sae, "k", 0.3))


def expected(sae: UngatedAutoencoder, x: Tensor, dead: Tensor) -> tuple[dict, dict, Tensor]:
    """Raw terms, gradients and code by the reference."""
    p = {name: value.clone().requires_grad_() for name, value in sae.params.items()}
    knob, centred = knob_of(sae), bool(int(sae.centred))
    terms, z = reference.losses(
        sae.name,
        p,
        x,
        knob=knob,
        centred=centred,
        free=not sae.unit_rows,
        dead=dead,
        most=sae.auxk_latents or 1,
    )
    weights = sae.weights(knob)
    total = sum(weights.get(name, 1.0) * term for name, term in terms.items())
    total.backward()
    grads = {name: value.grad for name, value in p.items()}
    if "jumprelu" in sae.name:
        grads["threshold"] = reference.threshold_gradient(sae.name, p, x, knob, centred, BAND)
    return {name: float(term.detach()) for name, term in terms.items()}, grads, z


def check(step, sae, x: Tensor, dead: Tensor) -> None:
    fired = torch.zeros(sae.width, dtype=torch.bool)
    found = step(x, knob_of(sae), fired)
    terms, grads, z = expected(sae, x, dead)
    for name, value in terms.items():
        assert float(getattr(found, name)) == pytest.approx(value, rel=1e-10, abs=1e-12), name
    assert vars(found).keys() == terms.keys() | {"l0"}
    assert float(found.l0) == pytest.approx(float((z != 0).sum()) / len(x))
    assert torch.equal(fired, (z != 0).any(0))
    for name, value in grads.items():
        value = torch.zeros_like(sae.params[name]) if value is None else value
        torch.testing.assert_close(step.grads[name], value, rtol=1e-9, atol=1e-11, msg=name)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12)
@given(
    d=st.integers(2, 9),
    width=st.integers(1, 40),
    b=st.integers(2, 17),
    seed=st.integers(0, 2**31),
    plain=st.booleans(),
    path=st.sampled_from(list(PATHS)),
)
def test_step_equals_the_formulas(name, d, width, b, seed, plain, path):
    free = "relu" in name and "jump" not in name and seed % 2 == 1
    sae = made(
        name,
        d,
        width,
        seed,
        encoder_input="plain" if plain else "centred",
        decoder_norm="free" if free else "unit",
    )
    x = batch(b, d, seed + 1)
    dead = torch.rand(width, generator=torch.Generator().manual_seed(seed + 2)) < 0.4
    sae.dead = dead
    most = {} if path == "autograd" else {"most": min(3, width)}
    step = PATHS[path](sae, b, torch.float64, **most)
    check(step, sae, x, dead)
    if path != "autograd":
        assert step.dense == (path == "dense" and len(sae.levels) == 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_step_in_lower_precision(name, dtype, path):
    """Entries within rounding of a level may be exchanged, which moves single gradients."""
    gated, x = name not in NAMES, batch(256, 48, 4)
    x = x if gated else x / 48**0.5
    exact = random_autoencoder(name, 48, 96, 3) if gated else made(name, 48, 96, 3, k=6)
    sae = deepcopy(exact).float()
    most = {} if path == "autograd" else {"most": 6}
    step = PATHS[path](sae, 256, dtype, **most)
    step(x.float(), 0.2 if gated else knob_of(exact))
    if gated:
        _, grads = reference_gradients(exact, x, 0.2)
    else:
        _, grads, _ = expected(exact, x, torch.zeros(96, dtype=torch.bool))
    bounds = {torch.float32: 1e-5, torch.bfloat16: 3e-2} if gated else LOOSER
    for key, value in grads.items():
        error = (step.grads[key].double() - value).norm() / value.norm()
        assert error < bounds[dtype], (key, error)


@pytest.mark.parametrize("name", VARIANTS)
def test_saved_and_loaded(name, tmp_path):
    sae = (made if name in NAMES else random_autoencoder)(name, 6, 9, 2).float()
    sae.calibrate(iter([batch(50, 6, 1).float()]))
    sae.scale = 0.037
    sae.save(tmp_path / "sae.safetensors")
    again, x = load(tmp_path / "sae.safetensors"), batch(5, 6, 1).float()
    assert (again.name, again.d, again.width, again.scale) == (name, 6, 9, 0.037)
    for key, value in sae.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    assert torch.equal(again.code(x), sae.code(x))
    torch.testing.assert_close(sae(x), sae.reconstruct(sae.code(x * 0.037)) / 0.037)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("jumprelu", {"threshold_parameter": "log"}),
        ("absrelu", {"decoder_norm": "free", "decoder_init_norm": 0.1}),
        ("absbatchtopk", {}),
    ],
)
def test_weights_are_saved_when_they_are_finished(name, changes, tmp_path):
    """A file of them would load as another function: log thresholds taken for thresholds."""
    sae, x = made(name, 6, 9, 2, **changes).float(), batch(50, 6, 1).float()
    with pytest.raises(ValueError, match=r"call (finish|calibrate)\("):
        sae.save(tmp_path / "sae.safetensors")
    sae.finish()
    sae.calibrate(iter([x]))
    sae.save(tmp_path / "sae.safetensors")
    assert torch.equal(load(tmp_path / "sae.safetensors").code(x), sae.code(x))


def test_row_top_k_has_exactly_k_entries_or_all_that_are_positive():
    x = batch(40, 6, 3)
    for name in ("topk", "abstopk"):
        sae = made(name, 6, 20, 1)
        sae.params["b_enc"][:15] = -5.0  # few positive ones are left
        pre = sae.pre_activations(x)
        positive = (pre > 0).sum(1)
        expected_ = positive.clamp(max=3) if name == "topk" else torch.full((40,), 3)
        assert torch.equal((sae.code(x) != 0).sum(1), expected_)
        assert torch.equal(sae.code(x), sae.select(pre, sae.params, 3))
        assert (positive < 3).any()


@pytest.mark.parametrize("name", sorted(reference.BY_BATCH))
def test_batch_top_k_has_exactly_k_b_entries_with_any_share_of_the_rows(name):
    """One row may take nearly all of them, so that a few candidates of each are too few."""
    sae, x = made(name, 6, 200, 1), batch(40, 6, 3)
    x[7] *= 1000
    z = sae.select(sae.pre_activations(x), sae.params, 3)
    assert int((z != 0).sum()) == 3 * 40
    step = CpuStep(sae, 40, torch.float64, most=3)
    assert float(step(x, 3).l0) == 3
    assert int((z[7] != 0).sum()) > 60


@pytest.mark.parametrize("name", ["topk", "abstopk", "batchtopk", "matryoshka_batchtopk"])
def test_aux_k_trains_dead_latents_alone(name):
    """And ``b_dec`` through the encoder only, never through the decoder."""
    sae, x = made(name, 8, 33, 5), batch(65, 8, 6)
    sae.dead = torch.arange(33) % 4 == 0
    for centred in (1, 0):
        sae.centred.fill_(centred)
        grads = {}
        for alpha in (0.0, 1.0):
            sae.auxk_coefficient = alpha
            step = CpuStep(sae, 65, torch.float64, most=3)
            step(x, 3)
            grads[alpha] = {key: value.clone() for key, value in step.grads.items()}
        own = {key: grads[1.0][key] - grads[0.0][key] for key in grads[0.0]}
        for key, rows in (("W_dec", own["W_dec"]), ("W_enc", own["W_enc"].T)):
            assert (rows[sae.dead].norm(dim=1) > 1e-6).all(), key
            assert not rows[~sae.dead].any(), key
        through = -centred * sae.params["W_enc"] @ own["b_enc"]
        torch.testing.assert_close(own["b_dec"], through)


@pytest.mark.parametrize("path", PATHS)
def test_aux_k_without_a_variance_trains_nothing(path):
    """The error of a single row does not vary."""
    sae, x = made("topk", 8, 33, 5), batch(1, 8, 6)
    sae.dead = torch.arange(33) % 4 == 0
    most = {} if path == "autograd" else {"most": 3}
    step = PATHS[path](sae, 1, torch.float64, **most)
    assert step(x, 3).auxiliary == 0
    for key, value in step.grads.items():
        assert value.isfinite().all(), key


def test_a_step_that_is_dropped_gives_its_memory_back_at_once():
    sae = made("topk", 8, 33, 5)
    gc.disable()
    try:
        step = CpuStep(sae, 65, torch.float64, most=3)
        step(batch(65, 8, 6), 3)
        gone = weakref.ref(step)
        del step
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("name", of_family(TOPK, JUMPRELU, MATRYOSHKA))
def test_norms_that_a_family_cannot_free_are_one(name):
    sae = build(name, 6, 9)
    sae.initialise(torch.zeros(6), 0, recipe(name, decoder_norm="free", decoder_init_norm=0.1))
    torch.testing.assert_close(sae.W_enc.norm(dim=0), torch.ones(9))
    assert torch.equal(sae.W_enc, sae.W_dec.T)


def test_the_estimator_of_the_threshold_is_minus_the_density():
    """On smooth data the gradient of the expected step at t is -pdf(t); half of it would fail."""
    sae = build("jumprelu", 1, 1).double()
    sae.initialise(torch.zeros(1), 0, Recipe(steps=1, batch_size=1, lam=1, learning_rate=1))
    rows = 200_000
    x = torch.special.ndtri((torch.arange(rows, dtype=torch.float64) + 0.5) / rows)[:, None]
    sae.params["W_enc"].fill_(1.0)
    sae.params["W_dec"].fill_(0.0)  # no reconstruction, so the step alone is left
    for t in (0.3, 0.8):
        sae.bandwidth = 0.05
        sae.params["threshold"].fill_(t)
        density = float(torch.exp(torch.tensor(-t * t / 2)) / (2 * torch.pi) ** 0.5)
        for step in (AutogradStep(sae, torch.float64), CpuStep(sae, rows, torch.float64)):
            step(x, 1.0)
            assert float(step.grads["threshold"]) == pytest.approx(-density, rel=0.02)


@pytest.mark.parametrize("name", ["jumprelu", "absjumprelu"])
def test_thresholds_learn_from_float32_under_autocast(name):
    """Products in bfloat16 leave a grid that is coarser than a bandwidth of 0.001."""
    sae = build(name, 32, 64)
    sae.initialise(torch.zeros(32), 0, recipe(name, bandwidth=0.001))
    sae.params["threshold"].copy_(torch.linspace(0.3, 0.36, 64))
    x = batch(20_000, 32, 1).float() / 4
    grads = {}
    for dtype in (torch.float32, torch.bfloat16):
        step = AutogradStep(sae, dtype)
        step(x, 1.0)
        grads[dtype] = step.grads["threshold"].clone()
    ratio = grads[torch.bfloat16] / grads[torch.float32]
    assert (ratio - 1).abs().max() < 0.1


@pytest.mark.parametrize("path", ["entries", "dense"])
@pytest.mark.parametrize("theta", [0.02, 0.3, 2.0])
@pytest.mark.parametrize("name", of_family(JUMPRELU))
def test_thresholds_learn_from_float32_on_a_cpu(name, theta, path):
    """With most entries open or few, at a mean square of d: there operands in bfloat16 move
    pre-activations by more than small thresholds are."""
    d, width, b = 64, 96, 4096
    how = recipe(name, input_norm="sqrt_d", bandwidth=0.004, threshold_init=theta)
    sae = build(name, d, width)
    sae.initialise(torch.zeros(d), 0, how)
    x, found = batch(b, d, 4).float(), []
    for dtype in (torch.float32, torch.bfloat16):
        step = PATHS[path](sae, b, dtype)
        step(x, 1.0)
        found.append(step.grads["threshold"].sum())
    assert float(found[1]) == pytest.approx(float(found[0]), rel=0.03)


def test_thresholds_stay_in_float32_when_all_else_is_shorter(tmp_path):
    for name in ("jumprelu", "absrelu", "batchtopk"):
        sae = made(name, 6, 9, 2).float()
        sae.calibrate(iter([batch(50, 6, 1).float()]))
        before = sae.threshold.detach().clone()
        sae.to(torch.bfloat16)
        assert sae.W_enc.dtype == torch.bfloat16
        assert torch.equal(sae.threshold, before)
        sae.save(tmp_path / name)
        assert torch.equal(load(tmp_path / name).threshold, before)
