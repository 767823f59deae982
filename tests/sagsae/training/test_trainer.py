"""What the loop asks of its optimiser and what it keeps, call by call, on scripted losses."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from sagsae.autoencoders.weights import build
from sagsae.training import trainer as trainers
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.history import History
from sagsae.training.optimiser import COMPILED, fastest_step
from sagsae.training.recipe import Recipe
from sagsae.training.step import Terms
from sagsae.training.trainer import Interrupted, NonFiniteLoss, Trainer

D, H, B, SCALE = 3, 4, 2, 0.5
REMEDY = (
    "Lower learning_rate, lengthen lr_warmup_steps, or set matmul_dtype to float32 in the recipe"
)


class Counting:
    """Batch n is full of n + 1; each takes 100 s, one of them waiting."""

    def __init__(self) -> None:
        self.position, self.wait_seconds, self.clock, self.seconds = 0, 7.0, 1000.0, 100.0

    def __next__(self) -> torch.Tensor:
        self.position += 1
        self.wait_seconds += 1.0
        self.clock += self.seconds
        return torch.full((B, D), float(self.position), dtype=torch.bfloat16)

    def state(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def terms(reconstruction: float) -> Terms:
    """Of a batch, the other terms as they always are."""
    parts = {"reconstruction": reconstruction, "penalty": 10.0, "auxiliary": 0.5, "l0": 4.0}
    return Terms(**{name: torch.tensor(value) for name, value in parts.items()})


class Scripted:
    """Notes its calls; step n has loss ``losses[n]`` and the latents ``firing[n]`` fire."""

    def __init__(self, losses=(), firing=()) -> None:
        self.losses, self.firing, self.loaded = list(losses), list(firing), None
        self.calls, self.forgotten = [], []

    def step(self, x, lam, rate, fired) -> Terms:
        n = len(self.calls)
        self.calls.append((x, lam, rate, fired.clone()))
        if n < len(self.firing):
            fired[self.firing[n]] = True
        loss = self.losses[n] if n < len(self.losses) else 1.0 + n
        return terms(loss)

    def forget(self, latents) -> None:
        self.forgotten.append(latents.tolist())

    def state(self) -> dict[str, torch.Tensor]:
        return {"moments": torch.arange(3.0)}

    def load_state(self, tensors, steps) -> None:
        self.loaded = tensors["moments"].tolist(), steps


def recipe(**changes) -> Recipe:
    values = {"steps": 5, "batch_size": B, "lam": 0.4, "learning_rate": 8.0}
    schedule = {"lr_warmup_steps": 1, "lambda_warmup_steps": 2, "matmul_dtype": "float32"}
    return Recipe(**values | schedule | changes)


def trainer(optimiser: Scripted | None = None, *, log_every=2, progress=None, **changes) -> Trainer:
    sae = build("sagsae_tied", D, H, SCALE)
    sae.initialise(torch.zeros(D), 0, recipe(**changes))
    run = Trainer(sae, Counting(), recipe(**changes), log_every=log_every, progress=progress)
    run.optimiser = optimiser or Scripted()
    return run


@pytest.fixture
def clock(monkeypatch):
    """Lets time go by as the stream of a trainer says."""
    return lambda run: monkeypatch.setattr(trainers.time, "monotonic", lambda: run.stream.clock)


class TestStart:
    @pytest.mark.parametrize(
        ("kind", "steps", "fuses"),
        [("cuda", COMPILED, True), ("cuda", COMPILED - 1, False), ("meta", COMPILED, False)],
    )
    def test_the_step_of_another_device_is_plain_and_a_gpu_compiles_it_for_a_long_run(
        self, kind, steps, fuses, monkeypatch
    ):
        run, fused = trainer(matmul_dtype="bfloat16", steps=steps), []
        monkeypatch.setattr(AutogradStep, "fuse", lambda step: fused.append(step))
        step = fastest_step(run.sae, run.recipe, run.dtype, torch.device(kind))
        assert type(step) is AutogradStep
        assert (step.sae, step.dtype) == (run.sae, torch.bfloat16)
        assert fused == [step] * fuses


class TestLoop:
    def test_every_step_gets_its_batch_lambda_and_rate(self):
        told, run = [], trainer(progress=lambda step, row: told.append((step, row)))
        assert run.run() is run.history
        assert [x.tolist() for x, *_ in run.optimiser.calls] == [
            [[n * SCALE] * D] * B for n in (1, 2, 3, 4, 5)
        ]
        assert {x.dtype for x, *_ in run.optimiser.calls} == {torch.float32}
        assert [lam for _, lam, _, _ in run.optimiser.calls] == pytest.approx(
            [0, 0.2, 0.4, 0.4, 0.4]
        )
        assert [rate for _, _, rate, _ in run.optimiser.calls] == [4, 8, 8, 8, 8]
        assert run.step == 5
        own = {
            "step": [0.0, 2.0, 4.0],
            "tokens": [2.0, 6.0, 10.0],
            "lr": [4.0, 8.0, 8.0],
            "lambda": [0.0, 0.4, 0.4],
            "loss": [1.5, 3.5 + 0.4 * 10, 5.5 + 0.4 * 10],
            "reconstruction": [1.0, 3.0, 5.0],
        }
        same = {"penalty": 10.0, "auxiliary": 0.5, "l0": 4.0, "dead_fraction": 1.0, "resets": 0.0}
        rows = [
            {name: values[i] for name, values in own.items()} | same
            for i in range(len(own["step"]))
        ]
        assert run.history.rows == rows
        assert {type(value) for row in rows for value in row.values()} == {float}
        assert told == list(zip((0, 2, 4), rows, strict=True))

    def test_dead_are_those_that_fired_in_no_step_since_the_row_before(self):
        firing = [[0, 1], [2], [0], [], [3], [0, 1]]
        run = trainer(Scripted(firing=firing), steps=6)
        shares = {row["step"]: row["dead_fraction"] for row in run.run().rows}
        assert shares == {0: 0.5, 2: 0.5, 4: 0.75, 5: 0.25}
        assert run.last_fired.tolist() == [6, 6, 2, 5]

    def test_the_streams_batches_stay_as_they_are(self, monkeypatch):
        """A stream of a user's own may give the same tensor again and again."""
        run, batch = trainer(), torch.ones(B, D)
        monkeypatch.setattr(Counting, "__next__", lambda _: batch)
        run.run()
        assert batch.tolist() == [[1.0] * D] * B
        assert [x[0, 0].item() for x, *_ in run.optimiser.calls] == [SCALE] * 5

    def test_time_and_waiting_are_counted_and_go_on_in_a_second_session(self, clock):
        run = trainer()
        clock(run)
        run.history = History(seconds=30.0, data_wait_seconds=4.0)
        run.run()
        assert (run.history.seconds, run.history.data_wait_seconds) == (530.0, 9.0)


class TestResets:
    def resets(self, *firing, tokens=5, steps=6):
        """Batches of 2 make a window of 5 tokens 3 steps."""
        optimiser = Scripted(firing=firing)
        run = trainer(optimiser, steps=steps, reset_window_tokens=tokens)
        run.sae.params["theta"].fill_(7.0)
        run.run()
        return run, optimiser.forgotten

    def test_latents_that_are_silent_for_the_window_are_reset_at_its_end(self):
        run, forgotten = self.resets([0, 2, 3], [0, 3], [0, 3], [0, 3], [0, 3], [0])
        assert forgotten == [[False, True, False, False], [False, True, True, False]]
        assert run.history.resets == 3
        assert run.last_fired.tolist() == [6, 6, 6, 5]
        start = run.sae.initial_theta
        assert run.sae.params["theta"].tolist() == pytest.approx([7.0, start, start, 7.0])

    def test_the_window_is_whole_steps_at_least_as_long_as_asked(self):
        for tokens, window in ((4, 2), (5, 3), (6, 3), (1, 1)):
            run, forgotten = self.resets(*[[0, 1, 2]] * 4, tokens=tokens, steps=4)
            assert len(forgotten) == 4 // window, tokens
            assert run.history.resets == 4 // window

    def test_without_a_window_or_latents_nothing_is_reset(self, monkeypatch):
        run = trainer(steps=6)
        run.run()
        assert (run.history.resets, run.optimiser.forgotten) == (0, [])
        monkeypatch.setattr(type(run.sae), "latent_axes", {})
        run, forgotten = self.resets()
        assert (run.history.resets, forgotten) == (0, [])


class TestFiniteness:
    @pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
    def test_a_loss_that_is_not_finite_stops_the_run_and_names_its_rows(self, loss):
        run = trainer(Scripted([1.0, 1.0, loss]))
        with pytest.raises(NonFiniteLoss) as stopped:
            run.run()
        assert str(stopped.value) == (
            "the loss of step 2 is not finite, from rows 4 to 5 of the stream (position after the "
            f"last batch read: {{'position': 3}}). Earlier checkpoints are kept. {REMEDY}"
        )
        assert len(run.history.rows) == 1

    def test_the_first_step_may_be_the_bad_one(self):
        run = trainer()
        run.device = torch.device("cuda")
        run._watch(Terms(a=torch.tensor(math.nan)), 0)
        run._watch(Terms(a=torch.tensor(math.nan)), 1)
        with pytest.raises(NonFiniteLoss, match=r"step 0 .* rows 0 to 1 "):
            run._check_finite()

    def test_weights_that_are_not_finite_end_the_run(self, tmp_path):
        run = trainer()
        run.sae.params["b_dec"][0] = math.nan
        run.sae.params["theta"][1] = math.inf
        with pytest.raises(NonFiniteLoss) as stopped:
            run.run()
        assert str(stopped.value) == (
            "b_dec, theta are not finite after step 4, at stream position {'position': 5}. "
            f"Earlier checkpoints are kept. {REMEDY}"
        )
        with pytest.raises(NonFiniteLoss, match="b_dec, theta are not finite"):
            run._save(tmp_path / "c")
        assert not (tmp_path / "c").exists()


class TestCheckpoints:
    def saves(self, monkeypatch, run, seconds=0.0) -> list[int]:
        """Steps after which the state is kept; keeping it takes some seconds."""
        saved = []

        def save(path: Path) -> None:
            saved.append(run.step)
            run.stream.clock += seconds

        monkeypatch.setattr(run, "_save", save)
        return saved

    def test_one_is_written_after_every_five_minutes_between_them(
        self, monkeypatch, clock, tmp_path
    ):
        """Each takes 250 s, which do not count."""
        run = trainer(steps=9)
        clock(run)
        run.stream.seconds = 100.125
        saved = self.saves(monkeypatch, run, 250.0)
        run.run(tmp_path / "c")
        assert saved == [3, 6, 9]

    def test_a_run_that_is_asked_to_stop_keeps_its_state(self, monkeypatch, tmp_path):
        run = trainer()
        run.progress = lambda step, _: setattr(run, "stop_requested", step >= 2)
        saved = self.saves(monkeypatch, run)
        with pytest.raises(Interrupted) as stopped:
            run.run(tmp_path / "c")
        path = tmp_path / "c"
        assert str(stopped.value) == f"stopped after step 3 of 5; {path} continues there"
        assert saved == [3]
        run.step, run.progress = 0, None
        with pytest.raises(Interrupted, match=r"^stopped after step 1 of 5$"):
            run.run()
