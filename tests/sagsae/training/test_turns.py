"""Several trainers on one stream: each comes to the bits that it comes to alone."""

from __future__ import annotations

import pytest
import torch

from sagsae.training.checkpoint import load_checkpoint
from sagsae.training.trainer import Interrupted, NonFiniteLoss, Trainer
from sagsae.training.turns import Turns, train_in_turn
from tests.sagsae.training.test_training import B, D, PairStream, trainer

MEMBERS = {
    "wide": ("gated", 2 * D, {"lam": 0.2}),
    "tied": ("sagsae_tied", D, {"lam": 0.1}),
    "free": ("sagsae", D + 3, {"lam": 0.05}),
}
SETTINGS = {"steps": 120, "reset_window_tokens": 20 * B}


class CountedStream(PairStream):
    """Says how many batches were read of it."""

    reads = 0

    def __next__(self):
        self.reads += 1
        return super().__next__()


def made(key: str, stream=None, **more) -> Trainer:
    name, width, changes = MEMBERS[key]
    return trainer(name, width, stream, **(SETTINGS | changes | more))


def together(source, **more) -> dict[str, Trainer]:
    turns = Turns(source)
    return {key: made(key, turns, **more) for key in MEMBERS}


def alone(key: str) -> Trainer:
    run = made(key)
    run.run()
    return run


def assert_same(found: Trainer, expected: Trainer) -> None:
    assert found.history.rows == expected.history.rows
    assert found.history.resets == expected.history.resets
    for name, value in expected._tensors().items():
        assert torch.equal(found._tensors()[name], value), name


def test_each_is_trained_as_it_would_be_alone_and_batches_are_read_once():
    source = CountedStream()
    runs = together(source)
    assert train_in_turn(runs) == {}
    assert source.reads == 120
    for key, run in runs.items():
        assert_same(run, alone(key))


def test_runs_that_are_ahead_wait_for_the_others(tmp_path):
    """Each goes on from its own checkpoint; the stream starts at the earliest of them."""
    for key, stop in (("wide", 30), ("tied", 70)):
        run = made(key)
        run.progress = lambda step, row, run=run, stop=stop: setattr(
            run, "stop_requested", step >= stop
        )
        with pytest.raises(Interrupted):
            run.run(tmp_path / key)
    source = CountedStream()
    runs = {key: run for key, run in together(source).items() if key != "free"}
    assert train_in_turn(runs, {key: tmp_path / key for key in runs}) == {}
    assert source.reads == 120 - 41  # logged every 20 steps: the first stopped after step 41
    source = CountedStream()
    runs = together(source)
    assert train_in_turn(runs, {key: tmp_path / key for key in runs}) == {}
    assert source.reads == 120  # one of them had no checkpoint
    for key, run in runs.items():
        assert_same(run, alone(key))


def test_checkpoints_are_those_of_a_run_alone(tmp_path):
    runs = together(PairStream())
    train_in_turn(runs, {"wide": tmp_path / "a", "tied": tmp_path / "b"}, every_seconds=0.0)
    made("wide").run(tmp_path / "c", every_seconds=0.0)
    (found, state), (expected, other) = (load_checkpoint(tmp_path / name) for name in "ac")
    assert state["stream"] == other["stream"]
    assert state["step"] == other["step"]
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert (tmp_path / "b").exists()


def test_one_that_diverges_ends_and_the_others_go_on():
    runs = together(PairStream())
    turns = runs["tied"].stream
    runs["tied"] = trainer("sagsae_tied", D, turns, **SETTINGS, learning_rate=1e30)
    failed = train_in_turn(runs)
    assert list(failed) == ["tied"]
    assert isinstance(failed["tied"], NonFiniteLoss)
    assert runs.keys() == {"wide", "free"}
    for key, run in runs.items():
        assert_same(run, alone(key))


def test_an_error_of_one_ends_that_one(monkeypatch):
    runs = together(PairStream())
    advance, broken = Trainer._advance, runs["free"]

    def fail(run):
        if run is broken and run.step == 50:
            raise RuntimeError("their code")
        advance(run)

    monkeypatch.setattr(Trainer, "_advance", fail)
    failed = train_in_turn(runs)
    assert str(failed["free"]) == "their code"
    assert runs["wide"].step == runs["tied"].step == 120
