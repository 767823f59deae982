"""A run that diverges ends before its last step, says why, and leaves weights to measure."""

from __future__ import annotations

import pytest
import torch

from sagsae.autoencoders.weights import build
from sagsae.training.recipe import Recipe
from sagsae.training.trainer import Trainer
from tests.sagsae.training.test_trainer import Counting, Scripted
from tests.sagsae.training.test_training import trainer

D, SCALE = 3, 0.5
LIMIT = 2 * D * SCALE**2
"""Twice the variance of a batch of ones and minus ones."""
BAD, GOOD = LIMIT * 1.01, LIMIT
EVERY = 2


class Opposite(Counting):
    def __next__(self) -> torch.Tensor:
        return super().__next__().fill_(1).mul_(torch.tensor([[1], [-1]]))


def scripted(logged: list[float], start: int = 4, **changes) -> Trainer:
    """A run whose logged losses, of every second step, are given; all others are bad."""
    sae = build("sagsae_tied", D, 4, SCALE)
    sae.initialise(torch.zeros(D), 0)
    warmup = {"lr_warmup_steps": 1, "lambda_warmup_steps": start}
    settings = {"steps": 40, "batch_size": 2, "lam": 0.4, "learning_rate": 8.0, **warmup}
    run = Trainer(sae, Opposite(), Recipe(**settings | changes), log_every=EVERY)
    run.optimiser = Scripted([loss for one in logged for loss in (one, BAD)])
    return run


@pytest.mark.parametrize(
    ("logged", "since"),
    [
        ([BAD] * 20, 4),  # steps 0 and 2 are those of the start
        ([GOOD] * 5 + [BAD] * 15, 10),
        ([GOOD] * 4 + [BAD] * 3 + [GOOD] + [BAD] * 12, 16),
    ],
)
def test_four_bad_logged_steps_in_succession_end_a_run(logged, since):
    run = scripted(logged)
    history = run.run()
    last = since + 3 * EVERY
    assert (run.step, run.ended, history.rows[-1]["step"]) == (last + 1, True, last)
    assert history.diverged == (
        f"training diverged: R2 on its batches was below -1 from step {since} to {last} of 40, "
        "where it ended"
    )


@pytest.mark.parametrize(
    "logged", [[GOOD] * 20, ([BAD] * 3 + [GOOD]) * 5, [BAD] * 2 + [GOOD] * 16 + [BAD] * 2]
)
def test_any_other_run_comes_to_its_end(logged):
    run = scripted(logged)
    assert run.run().diverged == ""
    assert (run.step, run.ended) == (40, True)


@pytest.mark.parametrize(
    ("changes", "since"),
    [
        ({"start": 12}, 12),
        ({"lr_warmup_steps": 10}, 10),
        ({"steps": 110}, 12),  # 11 is not logged
    ],
)
def test_the_start_is_left_out(changes, since):
    steps = changes.get("steps", 40)
    history = scripted([BAD] * (steps // 2), **changes).run()
    assert f"from step {since} to {since + 6} of {steps}," in history.diverged


def diverging() -> Trainer:
    return trainer(learning_rate=3.0, steps=400)


def test_a_learning_rate_that_is_too_high_ends_early_with_finite_weights():
    run = diverging()
    history = run.run()
    assert history.diverged
    assert run.step < 200
    assert all(torch.isfinite(value).all() for value in run.sae.state_dict().values())
    assert trainer(steps=400).run().diverged == ""


def test_a_diverged_run_stays_ended_when_it_is_resumed(tmp_path):
    first, again = diverging(), diverging()
    first.run()
    first._save(tmp_path / "astray")
    again.run(tmp_path / "astray")
    assert (again.step, again.history.diverged) == (first.step, first.history.diverged)
