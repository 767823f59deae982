"""A moving average of the parameters, which a finished run may have in their place.

arXiv 2406.04093 evaluates such an average, with a decay of 0.999. It is corrected for its start: at
step n the parameters weigh (1 - decay) / (1 - decay^n), so that the initial ones do not count.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


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
