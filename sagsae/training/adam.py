"""Adam over named tensors, by PyTorch's fused kernel.

Called as a function: the class `torch.optim.Adam` imports PyTorch's compiler, used or not, which
takes a job of two minutes most of a second.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam

EPSILON = 1e-8
MOMENTS = ("exp_avg", "exp_avg_sq")


class Adam:
    """Moments of some tensors, and the step that they ask for.

    Args:
        params: Trained in place, by name.
        grads: Their gradients, read at every step.
        betas: beta1 and beta2.
    """

    def __init__(
        self, params: dict[str, Tensor], grads: dict[str, Tensor], betas: tuple[float, float]
    ):
        self._params, self._betas = params, betas
        self._grads = [grads[name] for name in params]
        self._moments = {
            key: {name: torch.zeros_like(value) for name, value in params.items()}
            for key in MOMENTS
        }
        self._steps = [torch.zeros((), device=value.device) for value in params.values()]

    def step(self, rate: float) -> None:
        """One step at learning rate ``rate``."""
        first, second = (list(self._moments[key].values()) for key in MOMENTS)
        adam(
            list(self._params.values()),
            self._grads,
            first,
            second,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=self._betas[0],
            beta2=self._betas[1],
            lr=rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )

    def forget(self, names: Iterable[str], latents: Tensor) -> None:
        """Clear the moments of some latents, [H] bool, in the vectors ``names``."""
        for name in names:
            for key in MOMENTS:
                self._moments[key][name].masked_fill_(latents, 0)

    def state(self) -> dict[str, Tensor]:
        """The moments, from which `load_state` continues."""
        return {
            f"{key}.{name}": value
            for key, values in self._moments.items()
            for name, value in values.items()
        }

    def load_state(self, tensors: dict[str, Tensor], steps: int) -> None:
        """Continue after ``steps`` steps with the moments of `state`; others are not looked at."""
        for name, value in self.state().items():
            value.copy_(tensors[name])
        for clock in self._steps:
            clock.fill_(steps)
