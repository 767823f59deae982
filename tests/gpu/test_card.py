"""What only a GPU can show. Run them all by `make test-gpu`."""

from __future__ import annotations

import pytest
import torch

from sagsae.activations.hookpoints import default_hookpoints
from sagsae.autoencoders.registry import GATED, of_family
from sagsae.autoencoders.weights import class_of
from sagsae.evaluation.loss_recovered import Contexts
from sagsae.evaluation.metrics import evaluate_reconstruction
from sagsae.evaluation.steering.dial import Steering, steer
from sagsae.evaluation.steering.directions import Arms, random_directions
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.optimiser import CpuOptimiser
from sagsae.training.trainer import Interrupted, Trainer
from tests.sagsae.autoencoders.test_variants import batch, random_autoencoder, reference_gradients
from tests.sagsae.evaluation.samples import HIDDEN, LENGTH, VOCABULARY, tiny_model
from tests.sagsae.training.test_training import B, D, PairStream, recipe, trainer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here"),
]
NAMES = of_family(GATED)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-4), (torch.bfloat16, 3e-2)])
def test_the_compiled_step_agrees_with_the_formulas_in_float64(name, dtype, bound, capsys):
    torch.compiler.reset()
    exact, x = random_autoencoder(name, 48, 96, 3), batch(256, 48, 4)
    sae = class_of(name)(48, 96)
    for key, value in exact.params.items():
        sae.params[key].copy_(value)
    step = AutogradStep(sae.to("cuda"), dtype)
    step.fuse()
    assert capsys.readouterr().err == ""
    step(x.float().cuda(), 0.2)
    for key, value in reference_gradients(exact, x, 0.2)[1].items():
        error = (step.grads[key].double().cpu() - value).norm() / value.norm()
        assert error < bound, (key, error)


def on_gpu(name, **changes):
    run = trainer(name, **changes)
    return Trainer(run.sae.to("cuda"), PairStream(), recipe(**changes), log_every=20)


@pytest.mark.parametrize("name", NAMES)
def test_the_host_waits_at_logged_steps_and_resets_alone(name):
    run = on_gpu(name, reset_window_tokens=100 * B)
    run._advance()
    torch.cuda.set_sync_debug_mode("error")
    try:
        while run.step < 20:
            run._advance()
        with pytest.raises(RuntimeError, match="synchroniz"):
            run._advance()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_steering_on_a_card_agrees_with_the_cpu():
    curves = []
    for device in ("cpu", "cuda"):
        model = tiny_model("llama").to(device)
        ids = torch.arange(6 * LENGTH).view(6, LENGTH) % VOCABULARY
        kept = torch.ones_like(ids, dtype=torch.bool)
        point = default_hookpoints("llama", 2)["resid"]
        steering = Steering(model=model, hookpoint=point, positions=5, tokens=3, batch=7)
        arms = Arms.signed(random_directions(3, HIDDEN, seed=0))
        curves.append(steer(steering, Contexts(input_ids=ids, kept=kept), arms, (1.0, 2.0)))
    on_cpu, on_card = curves
    assert torch.equal(on_card.promoted, on_cpu.promoted)
    torch.testing.assert_close(on_card.kl, on_cpu.kl, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(on_card.effect, on_cpu.effect, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("first", ["cuda", "cpu"])
def test_a_run_goes_on_on_the_other_device(first, tmp_path):
    settings = {"reset_window_tokens": 20 * B, "steps": 300}
    made = {"cuda": on_gpu, "cpu": trainer}
    one = made.pop(first)("sagsae_tied", **settings)
    other = next(iter(made.values()))("sagsae_tied", **settings)
    one.progress = lambda step, _: setattr(one, "stop_requested", step >= 100)
    with pytest.raises(Interrupted):
        one.run(tmp_path / "c")
    rows = other.run(tmp_path / "c").rows
    assert rows[-1]["reconstruction"] < 0.2 * rows[0]["reconstruction"]
    assert isinstance(other.optimiser, CpuOptimiser) == (first == "cuda")


def test_an_evaluation_gives_what_it_gives_on_a_cpu():
    run, rows = on_gpu("sagsae", steps=200), next(PairStream(5))
    run.run()
    found = evaluate_reconstruction(run.sae, [rows.cuda()])
    expected = evaluate_reconstruction(run.sae.cpu(), [rows])
    assert found.r2 == pytest.approx(expected.r2, rel=1e-4)
    assert found.l0 == pytest.approx(expected.l0, rel=1e-2)
    assert rows.shape == (B, D)
