"""What a training leaves beside the weights: its logged rows, its cost, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sagsae.training.recipe import Recipe

# Reconstruction error over the variance of its batch, an R2 of -1, beyond which a step counts as
# bad.
DIVERGED_ERROR = 2.0

# Logged steps in succession that are bad: training has diverged, and ends.
DIVERGED_LOGS = 4

# An error that has fallen below this share of the lowest one, that many logged steps ago, is not
# bad: the run is slow and comes nearer.
DIVERGED_FALL = 0.9

# Error of a logged step over that of the one before, from which on it jumped.
JUMP = 1.5


def jump_in(rows: Sequence[Mapping[str, float]]) -> int | None:
    """The first logged step whose error is `JUMP` times that of the one before; None if none is.

    Its batch is harder than others, or one before it undid what many had trained: then the error
    stays high. The first tenth of the rows is left out.

    Args:
        rows: Those of a `History`.
    """
    for before, row in pairwise(rows[len(rows) // 10 :]):
        if row["reconstruction"] >= JUMP * before["reconstruction"]:
            return int(row["step"])
    return None


@dataclass
class History:
    """Loss terms every ``log_every`` steps and the run's cost.

    Attributes:
        rows: A dictionary a logged step: ``step`` from 0, ``tokens`` seen with it, ``lr``,
            ``lambda`` or ``k``, ``loss`` (what is minimised), what the step's `Terms` hold,
            ``dead_fraction`` (latents with no z != 0 in the last ``log_every`` steps, of which a
            reset counts as one) and ``resets`` so far.
        seconds: Wall time in the loop, all sessions of a resumed run together.
        data_wait_seconds: Part of it spent waiting for batches.
        resets: Latents that were reset, each as often as it was.
        bad: Logged steps in succession, up to the last one, whose error is far above the variance
            of their batch and does not fall; see `DIVERGED_ERROR`.
        diverged: Why training ended before its last step; empty when it did not.
        calibration: What `Autoencoder.calibrate` found after the last step.
        r2: On the batch of the last row; None before, and where the batch does not vary.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    data_wait_seconds: float = 0.0
    resets: int = 0
    bad: int = 0
    diverged: str = ""
    calibration: dict[str, Any] = field(default_factory=dict)
    r2: float | None = None

    @property
    def faults(self) -> list[str]:
        """What is wrong with the finished run; empty where nothing is."""
        found = [self.diverged, self.calibration.get("fault", "")]
        if self.r2 is not None and self.r2 < 0 and not self.diverged:
            found.append(f"R2 of the last batch is {self.r2:.3g}: the mean of all rows does better")
        return [fault for fault in found if fault]

    def note_divergence(self, recipe: Recipe, variance: float) -> None:
        """End a run that went astray: it does not come back, and its steps are the slowest of all.

        The start is left out: there the error is large where ``b_dec`` starts far from the mean.

        Args:
            recipe: The run's recipe.
            variance: Of the batch of the last row, summed over features.
        """
        step, error = self.rows[-1]["step"], self.rows[-1]["reconstruction"]
        self.r2 = 1 - error / variance if variance > 0 else None
        warmups = recipe.lr_warmup_steps, recipe.lambda_warmup_steps, recipe.k_warmup_steps
        start = max(recipe.steps // 10, *warmups)
        earlier = [row["reconstruction"] for row in self.rows[: -1 - DIVERGED_LOGS]]
        stays = error > DIVERGED_FALL * min(earlier, default=0.0)
        bad = step >= start and stays and 0 < variance * DIVERGED_ERROR < error
        self.bad = self.bad + 1 if bad else 0
        if self.bad == DIVERGED_LOGS:
            since = self.rows[-DIVERGED_LOGS]["step"]
            self.diverged = (
                f"training diverged: R2 on its batches was below {1 - DIVERGED_ERROR:g} from step "
                f"{since:.0f} to {step:.0f} of {recipe.steps}, where it ended"
            )
