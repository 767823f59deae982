"""Whole runs: what a stop leaves alike in every variant, what moves in those without a gate."""

from __future__ import annotations

import math

import pytest
import torch

from sagsae.autoencoders.batchtopk import BatchTopK
from sagsae.autoencoders.registry import VARIANTS, K
from sagsae.autoencoders.weights import build
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.checkpoint import load_checkpoint
from sagsae.training.cpu_step import CpuStep
from sagsae.training.optimiser import CpuOptimiser, Optimiser
from sagsae.training.recipe import Recipe, uses
from sagsae.training.trainer import Interrupted, Trainer
from tests.sagsae.autoencoders.test_ungated import NAMES, knob_of, made
from tests.sagsae.autoencoders.test_ungated import recipe as small_recipe
from tests.sagsae.autoencoders.test_variants import batch
from tests.sagsae.training.test_optimiser import twins
from tests.sagsae.training.test_training import B, D, PairStream

WIDTH = 3 * D


def recipe(name: str, **changes) -> Recipe:
    given_ = {
        "steps": 40,
        "batch_size": B,
        "learning_rate": 3e-3,
        "lr_warmup_steps": 5,
        "matmul_dtype": "float32",
        "dead_window_tokens": 10 * B,
        "bandwidth": 0.05,
        "threshold_init": 0.05,
        **({"lam": 0.0, "k": 4} if VARIANTS[name].knob == K else {"lam": 0.05}),
    }
    return Recipe(**given_ | changes)


def trainer(name: str, stream=None, width: int = WIDTH, **changes) -> Trainer:
    how, sae = recipe(name, **changes), build(name, D, width, 0.5)
    sae.initialise(torch.zeros(D), 0, how)
    return Trainer(sae, stream or PairStream(), how, log_every=10)


def unseen(batches: int) -> torch.Tensor:
    """Rows that nothing was trained on."""
    stream = PairStream(seed=9)
    return torch.cat([next(stream) for _ in range(batches)])


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    """Calibration reads less."""
    monkeypatch.setattr(BatchTopK, "calibration_rows", 64 * B)


def assert_same(found: Trainer, expected: Trainer) -> None:
    assert found.history.rows == expected.history.rows
    assert found.history.calibration == expected.history.calibration
    for key, value in expected._tensors().items():
        assert torch.equal(found._tensors()[key], value), key


SETTINGS = {
    "paper": {"beta1": 0.9, "beta2": 0.99, "clip_gradient_norm": 1.0, "weight_average": 0.9},
    "matched": {"encoder_input": "plain", "k_warmup_steps": 25, "lambda_warmup_steps": 25},
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_run_that_was_stopped_ends_with_equal_weights(name, settings, tmp_path):
    given_ = SETTINGS[settings] | {"reset_window_tokens": 10 * B}
    changes = {key: value for key, value in given_.items() if uses(name, key)}
    whole, first = (trainer(name, **changes) for _ in range(2))
    whole.run()
    assert isinstance(whole.compute, CpuStep)
    first.progress = lambda step, _: setattr(first, "stop_requested", step >= 20)
    with pytest.raises(Interrupted, match="after step 21 of 40"):
        first.run(tmp_path / "c")
    rows = load_checkpoint(tmp_path / "c")[0]["param.W_dec"]
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(WIDTH), rtol=0, atol=1e-6)
    second = trainer(name, **changes)
    second.run(tmp_path / "c")
    assert_same(second, whole)
    assert whole.history.rows[-1]["reconstruction"] < whole.history.rows[0]["reconstruction"]


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("dense_from", [0.0, torch.inf])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"beta1": 0.9, "beta2": 0.99, "clip_gradient_norm": 0.5},
        {"clip_gradient_norm": 1e6},  # longer than any gradient
    ],
)
def test_the_fused_pass_over_the_matrices_is_the_plain_one(name, settings, dense_from):
    how = small_recipe(name, adam_epsilon=1e-6, **settings)
    gated, dead = name not in NAMES, torch.arange(33) % 4 == 0
    pair = twins(name, 8, 33, 5) if gated else [made(name, 8, 33, 5) for _ in range(2)]
    for sae in [] if gated else pair:
        sae.dead = dead
        sae.params["W_dec"][1] = 0  # a latent that is never active, and whose row has no norm
        sae.params["W_enc"][:, 1] = 0
    plain = Optimiser(AutogradStep(pair[0], torch.float64), how)
    step = CpuStep(pair[1], 65, torch.float64, most=3, dense_from=dense_from)
    fused = CpuOptimiser(step, how)
    for n in range(4):
        fired = torch.zeros(2, 33, dtype=torch.bool)
        for each, seen in zip((plain, fused), fired, strict=True):
            if gated and n == 2:
                each.forget(torch.arange(33) % 5 == 0)
            each.step(batch(65, 8, n), knob_of(pair[0]), 0.01, seen)
        assert fired[0].any()
        assert torch.equal(*fired)
    for key, value in pair[0].params.items():
        torch.testing.assert_close(pair[1].params[key], value, rtol=1e-8, atol=1e-10, msg=key)
    ours, theirs = fused.state(), plain.state()
    assert ours.keys() == theirs.keys()
    late = how.beta2 ** (4 - ours.pop("clock")).double()  # of latents without open entries
    assert gated or (late[2:] == 1).all()
    assert theirs.pop("clock").tolist() == [4] * 33
    for key, side in (("exp_avg_sq.W_enc", late), ("exp_avg_sq.W_dec", late[:, None])):
        ours[key] = ours[key] * side
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, rtol=1e-6, atol=1e-12, msg=key)


@pytest.mark.parametrize("name", ["batchtopk", "absbatchtopk", "matryoshka_absbatchtopk"])
def test_the_threshold_gives_the_l0_that_was_asked_for(name):
    run = trainer(name, steps=150)
    run.run()
    found, x = run.history.calibration, unseen(64)
    assert found.keys() == {"threshold", "threshold_at_k", "l0"}
    assert found["l0"] == pytest.approx(4, rel=0.02)
    assert found["threshold_at_k"] == pytest.approx(found["threshold"], rel=0.05)
    assert float(run.sae.threshold) == pytest.approx(found["threshold"])
    z = run.sae.code(x * 0.5)
    assert float((z != 0).sum()) / len(x) == pytest.approx(4, rel=0.03)
    alone = torch.cat([run.sae.code(row[None] * 0.5) for row in x[:64]])
    torch.testing.assert_close(alone, z[:64])


def test_what_is_dead_was_silent_for_the_window():
    run = trainer("topk", steps=40, dead_window_tokens=5 * B)
    run.sae.params["b_enc"][:6] = -9.0  # these never fire
    seen = []
    step = run.optimiser.step
    run.optimiser.step = lambda *args: (seen.append(run.sae.dead.clone()), step(*args))[1]
    run.run()
    assert not any(dead.any() for dead in seen[:5])
    assert all(dead[:6].all() for dead in seen[5:20])
    assert run.sae.dead is None
    jumping = trainer("jumprelu", steps=8)
    jumping.run()
    assert jumping.sae.dead is None
    assert jumping.sae.dead_window_tokens == 0


def test_aux_k_revives_what_is_dead():
    """Latents whose encoder is too weak to be selected fire again, with the term alone."""
    fired = {}
    for alpha in (0.0, 1.0):
        run = trainer("topk", steps=300, auxk_coefficient=alpha, dead_window_tokens=5 * B)
        run.sae.params["W_enc"][:, : D // 2] *= 0.02
        run.run()
        fired[alpha] = int((run.sae.code(unseen(20) * 0.5) != 0).any(0)[: D // 2].sum())
    assert fired[0.0] == 0 < fired[1.0]


def test_the_average_of_the_weights_is_that_of_all_steps():
    plain, averaged = trainer("relu", steps=12), trainer("relu", steps=12, weight_average=0.8)
    seen = []
    step = plain.optimiser.step

    def kept(*args):
        found = step(*args)
        seen.append({key: value.clone() for key, value in plain.sae.params.items()})
        return found

    plain.optimiser.step = kept
    plain.run()
    averaged.run()
    shares = torch.tensor([0.8 ** (11 - n) for n in range(12)])
    shares /= shares.sum()
    for key in ("W_enc", "b_enc", "b_dec"):
        expected = sum(share * one[key] for share, one in zip(shares, seen, strict=True))
        torch.testing.assert_close(averaged.sae.params[key], expected, rtol=1e-5, atol=1e-6)
    norms = averaged.sae.params["W_dec"].norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(WIDTH))


def test_logarithms_of_thresholds_are_thresholds_in_the_end():
    run = trainer("jumprelu", threshold_parameter="log", lam=0.5)
    assert run.sae.threshold[0].item() == pytest.approx(math.log(0.05))
    inside = next(PairStream()) * 0.5
    before = run.sae.code(inside)
    run.run()
    assert (run.sae.threshold > 0).all()
    assert (run.sae.threshold - 0.05).abs().max() > 1e-3
    assert not torch.equal(run.sae.code(inside), before)
    raw = trainer("jumprelu", threshold_init=0.0)
    assert raw.sae.threshold[0].item() == pytest.approx(0.025)  # half a bandwidth
