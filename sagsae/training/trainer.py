"""The training loop of one autoencoder.

A finished run may have a moving average of its parameters in their place.
arXiv 2406.04093 evaluates such an average, with a decay of 0.999. It is corrected for its start: at
step n the parameters weigh (1 - decay) / (1 - decay^n), so that the initial ones do not count.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.files import differences
from sagsae.training.checkpoint import OtherRunError, newest_checkpoint, save_checkpoint
from sagsae.training.history import History
from sagsae.training.optimiser import fastest_step, optimiser
from sagsae.training.recipe import Recipe
from sagsae.training.step import Terms, products_dtype, weighted_sum

if TYPE_CHECKING:
    from sagsae.activations.rows import Stream
from collections.abc import Mapping

# Numbers of dead latents that are listed at least, where there are any.
LEAST_LISTED = 64

_REMEDY = (
    "Lower learning_rate, lengthen lr_warmup_steps, or set matmul_dtype to float32 in the recipe"
)


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite; the message gives the step, its batch and what to do."""


class Interrupted(RuntimeError):
    """The run was asked to stop; the message says at which step, and what is kept."""


class Trainer:
    """Trains ``sae`` in place on batches from ``stream``.

    Gradients are those of the autoencoder's ``loss`` by autograd. On a CPU those of our own classes
    are written out (`sagsae.training.cpu_step`).

    Args:
        sae: Initialised autoencoder, on the training device.
        stream: Batches [B, d] of raw activations, B = ``recipe.batch_size``; of a transcoder rows
            [B, d + d_out] that hold both.
        recipe: Schedules and hyperparameters.
        log_every: Steps between rows of the history and calls of ``progress``.
        progress: Called as ``progress(step, row)``.
    """

    def __init__(
        self,
        sae: Autoencoder,
        stream: Stream,
        recipe: Recipe,
        *,
        log_every: int = 50,
        progress: Callable[[int, dict[str, float]], None] | None = None,
    ):
        self.sae, self.stream, self.recipe = sae, stream, recipe
        self.log_every, self.progress = log_every, progress
        self.device = next(sae.parameters()).device
        self.dtype = products_dtype(recipe.matmul_dtype, self.device)
        self.compute = fastest_step(sae, recipe, self.dtype, self.device)
        self.optimiser = optimiser(self.compute, recipe)
        self.history = History()
        self.step = 0
        self.stop_requested = False
        self._first_bad = torch.full((), -1, dtype=torch.int64, device=self.device)
        self.last_fired = torch.zeros(sae.width, dtype=torch.int64, device=self.device)
        self._average = WeightAverage(sae.params, recipe.weight_average)
        self._first_k = min(sae.d, sae.width)
        self._lists_dead = self.device.type == "cuda"

    @torch.enable_grad()  # also for a caller who has switched gradients off
    def run(self, checkpoint: Path | None = None, every_seconds: float = 300.0) -> History:
        """Train to the end, continuing from ``checkpoint`` if it exists.

        A resumed run sees the same batches in the same order and ends with the same weights. A run
        that diverges ends before its last step, and ``history.diverged`` says so.

        Args:
            checkpoint: Where to keep the state, see ``sagsae.training.checkpoint``.
            every_seconds: Wall time between two checkpoints.

        Raises:
            NonFiniteLoss: the loss stopped being a number. Checkpoints of earlier steps stay.
            OtherRunError: the checkpoint is of another class, shape, recipe or stream.
            Interrupted: ``stop_requested`` was set, by a signal handler for example.
        """
        begin = self.stream.state()
        if checkpoint is not None:
            self._resume(checkpoint)
        last = saved = time.monotonic()
        waited = self.stream.wait_seconds
        while not self.ended:
            self._advance()
            now, wait = time.monotonic(), self.stream.wait_seconds
            self.history.seconds += now - last
            self.history.data_wait_seconds += wait - waited
            last, waited = now, wait
            due = self.stop_requested or now - saved > every_seconds
            if due and checkpoint is not None:
                self._save(checkpoint)
                saved = time.monotonic()
            if self.stop_requested:
                kept = f"; {checkpoint} continues there" if checkpoint else ""
                raise Interrupted(f"stopped after step {self.step} of {self.recipe.steps}{kept}")
        self._finish(begin)
        return self.history

    @property
    def ended(self) -> bool:
        """Whether no step is left to do."""
        return self.step >= self.recipe.steps or bool(self.history.diverged)

    def _resume(self, checkpoint: Path) -> None:
        """Continue from a checkpoint, if there is one."""
        found = newest_checkpoint(checkpoint)
        if found is None:
            return
        tensors, state = found
        if fault := differences(state.get("run", {}), self._run()):
            raise OtherRunError(checkpoint, fault)
        try:
            self.stream.load_state(state["stream"])
        except ValueError as error:
            raise OtherRunError(checkpoint, str(error)) from None
        self._restore(tensors, state)

    def _run(self) -> dict[str, Any]:
        """What a checkpoint belongs to, besides the stream, whose state says it."""
        sae, recipe = self.sae, self.recipe.described()
        own = {"variant": sae.name, "d": sae.d, "width": sae.width, "scale": sae.scale}
        return own | ({"target": list(sae.target)} if sae.target else {}) | recipe

    def _advance(self) -> None:
        step, recipe = self.step, self.recipe
        x, *y = self._normalised(next(self.stream))
        logged = step % self.log_every == 0 or step == recipe.steps - 1
        variance = [x, *y][-1].var(0, correction=0).sum() if logged else x.new_zeros(())
        fired = torch.zeros_like(self.last_fired, dtype=torch.bool)
        rate, knob = recipe.lr_at(step), recipe.knob_at(step, self._first_k)
        if self.sae.dead_window_tokens:
            silent = (step - self.last_fired) * recipe.batch_size
            self.sae.dead = silent >= self.sae.dead_window_tokens
            since = step % self.log_every
            if self._lists_dead and (since == 0 or self.sae.listed is None):
                late = silent - since * recipe.batch_size >= self.sae.dead_window_tokens
                self.sae.listed = _listed(late)  # as at the last logged step, also of a resumed run
        terms = self.optimiser.step(x, knob, rate, fired, *y)
        self._average.add(step)
        self._watch(terms, step)
        self.last_fired.masked_fill_(fired, step + 1)
        if logged:
            self._log(terms)
            self.history.note_divergence(recipe, variance.item())
        self.step += 1
        self._reset_silent()

    def _normalised(self, batch: Tensor) -> list[Tensor]:
        """What is read, and what a transcoder is to predict, float32; the batch stays as it is."""
        sides = self.sae.sides_of(batch.to(self.device, non_blocking=True))
        scales = [self.sae.scale, self.sae.out_scale][: 2 if self.sae.target else 1]
        pairs = zip(sides, scales, strict=False)
        return [x.to(torch.float32, copy=True).mul_(scale) for x, scale in pairs]

    def _watch(self, terms: Terms, step: int) -> None:
        """Note the first step without a finite loss; on a GPU without waiting for it."""
        fresh = ~torch.isfinite(sum(vars(terms).values())) & (self._first_bad < 0)
        self._first_bad.masked_fill_(fresh, step)
        if self.device.type == "cpu":
            self._check_finite()

    def _check_finite(self) -> None:
        step = int(self._first_bad)
        if step < 0:
            return
        first = step * self.recipe.batch_size
        raise NonFiniteLoss(
            f"the loss of step {step} is not finite, from rows {first} to "
            f"{first + self.recipe.batch_size - 1} of the stream (position after the last batch "
            f"read: {self.stream.state()}). Earlier checkpoints are kept. {_REMEDY}"
        )

    def _log(self, terms: Terms) -> None:
        self._check_finite()
        knob = self.recipe.knob_at(self.step, self._first_k)
        parts = {name: value.item() for name, value in vars(terms).items()}
        silent = self.last_fired <= max(self.step + 1 - self.log_every, 0)
        row = {
            "step": float(self.step),
            "tokens": float((self.step + 1) * self.recipe.batch_size),
            "lr": self.recipe.lr_at(self.step),
            "k" if self.recipe.k else "lambda": knob,
            "loss": weighted_sum(parts, self.compute.weights(knob)),
            **parts,
            "dead_fraction": silent.double().mean().item(),
            "resets": float(self.history.resets),
        }
        self.history.rows.append(row)
        if self.progress is not None:
            self.progress(self.step, row)

    def _reset_silent(self) -> None:
        """Reset latents silent for the window; their clocks start again."""
        if not self.recipe.reset_window_tokens or not self.sae.latent_axes:
            return
        window = -(-self.recipe.reset_window_tokens // self.recipe.batch_size)
        silent = self.step - self.last_fired >= window
        if self.step % window or not silent.any():
            return
        with torch.no_grad():
            self.sae.reset_latents(silent)
        self.optimiser.forget(silent)
        self.last_fired.masked_fill_(silent, self.step)
        self.history.resets += int(silent.sum())

    def _finish(self, begin: dict[str, Any]) -> None:
        """What follows the last step.

        Args:
            begin: Position of the stream at which calibration reads; the same for one that was
                resumed.
        """
        self._check_weights()
        if self._average.replace():
            self.sae.constrain()
        self.sae.finish()
        self.sae.dead = self.sae.listed = None
        if rows := self.sae.calibration_rows:
            self.stream.load_state(begin)
            count = -(-rows // self.recipe.batch_size)
            batches = (self._normalised(next(self.stream))[0] for _ in range(count))
            self.history.calibration = self.sae.calibrate(batches)

    def _check_weights(self) -> None:
        """A finite loss may have gradients that are not; nobody continues from such weights."""
        self._check_finite()
        tensors = self.sae.state_dict()
        bad = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
        if bad:
            raise NonFiniteLoss(
                f"{', '.join(bad)} are not finite after step {self.step - 1}, at stream position "
                f"{self.stream.state()}. Earlier checkpoints are kept. {_REMEDY}"
            )

    def _save(self, path: Path) -> None:
        self._check_weights()
        state = {"step": self.step, "stream": self.stream.state(), "history": vars(self.history)}
        save_checkpoint(path, self._tensors(), state | {"run": self._run()})

    def _tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds, the same names on every device."""
        params = {f"param.{name}": value for name, value in self.sae.state_dict().items()}
        average = self._average.state()
        return {**params, **self.optimiser.state(), **average, "last_fired": self.last_fired}

    def _restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.history = History(**state["history"])
        self.last_fired.copy_(tensors["last_fired"])
        self._average.load_state(tensors)
        for name, value in self.sae.state_dict().items():
            value.copy_(tensors[f"param.{name}"])
        self.optimiser.load_state(tensors, self.step)


def _listed(dead: Tensor) -> tuple[Tensor, Tensor]:
    """See `Autoencoder.listed`: few lengths, so that few programs are compiled."""
    latents = dead.nonzero()[:, 0]
    length = max(LEAST_LISTED, 1 << (len(latents) - 1).bit_length()) if len(latents) else 0
    numbers = torch.nn.functional.pad(latents, (0, length - len(latents)))
    return numbers, torch.arange(length, device=dead.device) < len(latents)


@contextmanager
def stopped_by_signals(trainer: Trainer) -> Iterator[None]:
    """Let SIGTERM (preemption) and SIGINT end training with a checkpoint.

    A second one does what it did before: Ctrl-C raises KeyboardInterrupt, SIGTERM kills.

    Outside the main thread, which alone hears of signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: object) -> None:
        trainer.stop_requested = True
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class WeightAverage:
    """The average of some parameters over the steps.

    Args:
        params: By name; read by `add`, written by `replace`.
        decay: Weight of what was before; 0 for no average.
    """

    def __init__(self, params: dict[str, Tensor], decay: float):
        self._params, self._decay = params, decay
        self._average = {name: torch.zeros_like(value) for name, value in params.items() if decay}

    def add(self, step: int) -> None:
        """Take in the parameters after a step, counted from zero."""
        share = (1 - self._decay) / (1 - self._decay ** (step + 1))
        for name, value in self._average.items():
            value.lerp_(self._params[name], share)

    def replace(self) -> bool:
        """Give the parameters their averages; whether there are such."""
        for name, value in self._average.items():
            self._params[name].copy_(value)
        return bool(self._average)

    def state(self) -> dict[str, Tensor]:
        """What `load_state` continues from."""
        return {f"average.{name}": value for name, value in self._average.items()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from `state`; other tensors are not looked at."""
        for name, value in self.state().items():
            value.copy_(tensors[name])
