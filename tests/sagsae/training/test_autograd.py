"""An autoencoder of a user's own package, trained by autograd, from the grid's name to its file."""

from __future__ import annotations

import sys

import pytest
import torch

from sagsae.autoencoders.registry import check_name
from sagsae.autoencoders.weights import build, class_of, load
from sagsae.evaluation.metrics import evaluate_reconstruction
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.recipe import Recipe
from sagsae.training.trainer import Interrupted, Trainer
from tests.sagsae.training.test_training import B, D, PairStream, recipe
from tests.their_package import installed


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """The name of the module of `tests.their_package`."""
    with installed(tmp_path / "site", monkeypatch) as name:
        yield name


def trainer(name: str, stream: PairStream | None = None, **changes) -> Trainer:
    sae, how = build(name, D, 2 * D, 0.5), recipe(**changes)
    sae.initialise(torch.zeros(D), 0, how)
    return Trainer(sae, stream or PairStream(), how, log_every=20)


def test_it_trains_by_its_loss_and_keeps_its_constraints(zoo):
    run = trainer(f"{zoo}:TopK", steps=300)
    rows = run.run().rows
    assert isinstance(run.compute, AutogradStep)
    assert rows[-1]["reconstruction"] < 0.2 * rows[0]["reconstruction"]
    own = {"reconstruction", "sparsity", "l0"}
    every = {"step", "tokens", "lr", "lambda", "loss", "dead_fraction", "resets"}
    assert set(rows[0]) == every | own
    assert rows[-1]["loss"] == rows[-1]["reconstruction"] + rows[-1]["sparsity"]
    assert rows[0]["sparsity"] == 0 < rows[-1]["sparsity"]
    assert {row["l0"] for row in rows} == {4.0}
    torch.testing.assert_close(run.sae.W_dec.detach().norm(dim=1), torch.ones(2 * D))
    assert run.sae.steps == 300


@pytest.mark.parametrize("beta1", [0.0, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_that_was_stopped_ends_with_equal_weights(zoo, beta1, dtype, tmp_path):
    settings = {"beta1": beta1, "matmul_dtype": dtype, "reset_window_tokens": 20 * B}
    path, whole = tmp_path / "c.safetensors", trainer(f"{zoo}:TopK", **settings)
    whole.run()
    first = trainer(f"{zoo}:TopK", **settings)
    first.progress = lambda step, _: setattr(first, "stop_requested", step >= 100)
    with pytest.raises(Interrupted, match="after step 101 of 200"):
        first.run(path)
    second = trainer(f"{zoo}:TopK", **settings)
    second.run(path)
    assert second.history.rows == whole.history.rows
    assert torch.equal(second.last_fired, whole.last_fired)
    for key, value in whole.sae.state_dict().items():
        assert torch.equal(value, second.sae.state_dict()[key]), key


def test_saved_loaded_and_evaluated(zoo, tmp_path):
    run, path = trainer(f"{zoo}:TopK"), tmp_path / "sae.safetensors"
    run.run()
    run.sae.save(path, {"model": "small", "layer": 3})
    again, x = load(path, class_of(f"{zoo}:TopK")), next(PairStream(seed=5))
    assert (again.name, again.d, again.width, again.scale) == (f"{zoo}:TopK", D, 2 * D, 0.5)
    assert again.provenance["model"] == "small"
    assert again.steps == 200
    assert torch.equal(again.code(x * 0.5), run.sae.code(x * 0.5))
    torch.testing.assert_close(again(x), again.reconstruct(again.code(x * 0.5)) / 0.5)
    assert torch.equal(again.code_of_latents(x, torch.tensor([3, 1])), again.code(x)[:, [3, 1]])
    metrics = evaluate_reconstruction(again, [x])
    assert metrics.l0 == 4
    assert metrics.r2 > 0.8
    assert again.parameters_per_latent() == 2 * D


def test_a_loss_without_reconstruction_and_a_class_without_parameters_are_named(zoo):
    with pytest.raises(ValueError, match=r"their_zoo\.sparse:NoError\.loss gives error"):
        trainer(f"{zoo}:NoError").run()
    with pytest.raises(ValueError, match=r"their_zoo\.sparse:Frozen: no parameter"):
        trainer(f"{zoo}:Frozen")


def test_names(zoo):
    """A configuration is read where the package is; nothing of it is imported for that."""
    assert check_name(f"{zoo}:TopK") == f"{zoo}:TopK"
    assert "their_zoo" not in sys.modules
    assert class_of(f"{zoo}:TopK").name == f"{zoo}:TopK"
    for name in (f"{zoo}:", ":TopK", "their_zoo.sparse", f"{zoo}:Top-K", "a/b:C", f"{zoo}:A:B"):
        with pytest.raises(ValueError, match="unknown variant"):
            check_name(name)
    for name in ("no_such_zoo.sparse:TopK", "__main__:TopK"):
        with pytest.raises(ValueError, match=r"finds no package .* PYTHONPATH"):
            check_name(name)


def test_recipe_reaches_a_class_that_asks_for_it():
    how = Recipe(steps=1, batch_size=1, lam=0.1, learning_rate=0.1, theta_init=2.4)
    one, other = build("sagsae_tied", 4, 4), build("sagsae_tied", 4, 4)
    one.initialise(torch.zeros(4), 0)
    other.initialise(torch.zeros(4), 0, how)
    torch.testing.assert_close(other.params["theta"], 2 * one.params["theta"])
