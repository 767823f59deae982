"""The training loop of one autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.gate import GatedAutoencoder
from sagsae.memory import needs_memory
from sagsae.schedules import Recipe
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.checkpoint import newest_checkpoint, save_checkpoint
from sagsae.training.cpu_step import CpuStep
from sagsae.training.free_step import FreeStep
from sagsae.training.optimiser import optimiser
from sagsae.training.step import Step, Terms, products_dtype
from sagsae.training.turns import Interrupted as Interrupted
from sagsae.training.turns import Stream, train_in_turn

_REMEDY = (
    "Lower training.learning_rate or lengthen training.lr_warmup_steps, or set "
    "training.matmul_dtype to float32"
)


DIVERGED_ERROR = 2.0
"""Reconstruction error over the variance of its batch, an R2 of -1, beyond which a step counts as
bad."""

DIVERGED_LOGS = 4
"""Logged steps in succession that are bad: training has diverged, and ends."""

DIVERGED_FALL = 0.9
"""An error that has fallen below this share of the lowest one, that many logged steps ago, is not
bad: the run is slow and comes nearer."""


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite; the message gives the step, its batch and what to do."""


@dataclass
class History:
    """Loss terms every ``log_every`` steps and the run's cost.

    Attributes:
        rows: A dictionary a logged step: ``step`` from 0, ``tokens`` seen with it, ``lr``,
            ``lambda``, ``loss`` (what is minimised), what the step's `Terms` hold,
            ``dead_fraction`` (latents with no z != 0 in the last ``log_every`` steps, of which a
            reset counts as one) and ``resets`` so far.
        seconds: Wall time in the loop, all sessions of a resumed run together; of several trainers
            that share a stream, the share of each.
        data_wait_seconds: Part of it spent waiting for batches.
        resets: Latents that were reset, each as often as it was.
        bad: Logged steps in succession, up to the last one, whose error is far above the variance
            of their batch and does not fall; see `DIVERGED_ERROR`.
        diverged: Why training ended before its last step; empty when it did not.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    data_wait_seconds: float = 0.0
    resets: int = 0
    bad: int = 0
    diverged: str = ""


class Trainer:
    """Trains ``sae`` in place on batches from ``stream``.

    Gradients of a gate are written out (`sagsae.training.step`); any other autoencoder's are those
    of its ``loss`` by autograd.

    Args:
        sae: Initialised autoencoder, on the training device.
        stream: Batches [B, d] of raw activations, B = ``recipe.batch_size``.
        recipe: Schedules and hyperparameters.
        log_every: Steps between rows of the history and calls of ``progress``.
        progress: Called as ``progress(step, row)``.
    """

    @needs_memory("a training step")
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
        self.compute = self._fastest_step()
        self.optimiser = optimiser(self.compute, recipe)
        self.history = History()
        self.step = 0
        self.stop_requested = False
        self._first_bad = torch.full((), -1, dtype=torch.int64, device=self.device)
        self.last_fired = torch.zeros(sae.width, dtype=torch.int64, device=self.device)

    def _fastest_step(self) -> Step | AutogradStep:
        if not isinstance(self.sae, GatedAutoencoder):
            return AutogradStep(self.sae, self.dtype)
        trained = self.recipe.auxiliary_decoder == "trained"
        free = trained or not self.sae.unit_rows
        if self.device.type == "cpu" and not free:
            return CpuStep(self.sae, self.recipe.batch_size, self.dtype)
        sized = self.sae, self.recipe.batch_size, self.dtype
        step = FreeStep(*sized, trained=trained) if free else Step(*sized)
        if self.device.type == "cuda":
            step.fuse()
        return step

    @needs_memory("a training step")
    def run(self, checkpoint: Path | None = None, every_seconds: float = 300.0) -> History:
        """Train to the end, continuing from ``checkpoint`` or the one before it if they exist.

        A resumed run sees the same batches in the same order and ends with the same weights. A run
        that diverges ends before its last step, and ``history.diverged`` says so.

        Args:
            checkpoint: Where to keep the state, see ``sagsae.training.checkpoint``.
            every_seconds: Wall time between two checkpoints.

        Raises:
            NonFiniteLoss: the loss stopped being a number. Checkpoints of earlier steps stay.
            Interrupted: ``stop_requested`` was set, by a signal handler for example.
        """
        checkpoints = {} if checkpoint is None else {"": checkpoint}
        if failed := train_in_turn({"": self}, checkpoints, every_seconds):
            raise failed[""]
        return self.history

    @property
    def ended(self) -> bool:
        """Whether no step is left to do."""
        return self.step >= self.recipe.steps or bool(self.history.diverged)

    def _resume(self, checkpoint: Path) -> bool:
        """Continue from a checkpoint or the one before it; whether there is one."""
        found = newest_checkpoint(checkpoint, self._tensors())
        if found is not None:
            self._restore(*found)
        return found is not None

    def _advance(self) -> None:
        step, recipe = self.step, self.recipe
        batch = next(self.stream)
        on_device = batch.to(self.device, non_blocking=True)
        x = on_device.to(torch.float32, copy=True).mul_(self.sae.scale)  # the batch stays as it is
        logged = step % self.log_every == 0 or step == recipe.steps - 1
        variance = x.var(0, correction=0).sum() if logged else x.new_zeros(())
        fired = torch.zeros_like(self.last_fired, dtype=torch.bool)
        rate = recipe.lr_at(step)
        terms = self.optimiser.step(x, recipe.lambda_at(step), rate, fired)
        self._watch(terms, step)
        self.last_fired.masked_fill_(fired, step + 1)
        if logged:
            self._log(terms)
            self._note_divergence(terms.reconstruction.item(), variance.item())
        self.step += 1
        self._reset_silent()

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
        lam = self.recipe.lambda_at(self.step)
        parts = {name: value.item() for name, value in vars(terms).items()}
        silent = self.last_fired <= max(self.step + 1 - self.log_every, 0)
        row = {
            "step": float(self.step),
            "tokens": float((self.step + 1) * self.recipe.batch_size),
            "lr": self.recipe.lr_at(self.step),
            "lambda": lam,
            "loss": self.compute.objective(parts, lam),
            **parts,
            "dead_fraction": silent.double().mean().item(),
            "resets": float(self.history.resets),
        }
        self.history.rows.append(row)
        if self.progress is not None:
            self.progress(self.step, row)

    def _note_divergence(self, error: float, variance: float) -> None:
        """End a run that went astray: it does not come back, and its steps are the slowest of all.

        The start is left out: there the error is large where ``b_dec`` starts far from the mean.
        """
        recipe, history = self.recipe, self.history
        start = max(recipe.steps // 10, recipe.lr_warmup_steps, recipe.lambda_warmup_steps)
        earlier = [row["reconstruction"] for row in history.rows[: -1 - DIVERGED_LOGS]]
        stays = error > DIVERGED_FALL * min(earlier, default=0.0)
        bad = self.step >= start and stays and 0 < variance * DIVERGED_ERROR < error
        history.bad = history.bad + 1 if bad else 0
        if history.bad == DIVERGED_LOGS:
            since = history.rows[-DIVERGED_LOGS]["step"]
            history.diverged = (
                f"training diverged: R2 on its batches was below {1 - DIVERGED_ERROR:g} from step "
                f"{since:.0f} to {self.step} of {recipe.steps}, where it ended"
            )

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

    def _finish(self) -> None:
        """What follows the last step."""
        self._check_weights()
        if isinstance(self.sae, GatedAutoencoder) and not self.sae.unit_rows:
            self.sae.fold_norms()

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
        state["sparse_steps"] = self.compute.sparse_steps
        save_checkpoint(path, self._tensors(), state)

    def _tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds, the same names on every device."""
        params = {f"param.{name}": value for name, value in self.sae.state_dict().items()}
        return {**params, **self.optimiser.state(), "last_fired": self.last_fired}

    def _restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.history = History(**state["history"])
        self.compute.sparse_steps = state["sparse_steps"]
        self.stream.load_state(state["stream"])
        self.last_fired.copy_(tensors["last_fired"])
        for name, value in self.sae.state_dict().items():
            value.copy_(tensors[f"param.{name}"])
        self.optimiser.load_state(tensors, self.step)
