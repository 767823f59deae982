"""Adam over named tensors, by PyTorch's fused kernel.

A latent that was reset counts its own steps. The kernel corrects the bias of young moments by one
count for a whole tensor, so the rows of such latents are stepped once more, by their own count.

Called as a function: the class `torch.optim.Adam` imports PyTorch's compiler, used or not, which
takes a job of two minutes most of a second.
"""

from __future__ import annotations

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
        axes: Of the parameters that latents have a share of, the axis that counts the latents.
        width: Number of latents H.
        epsilon: Added to the root of the second moment.

    Attributes:
        cleared: [H] int64, the step after which a latent's moments were last cleared; 0 for never.
        count: Steps made.
        reset: Latents that were ever cleared, ascending.
    """

    def __init__(
        self,
        params: dict[str, Tensor],
        grads: dict[str, Tensor],
        betas: tuple[float, float],
        axes: dict[str, int],
        width: int,
        epsilon: float = EPSILON,
    ):
        self._params, self._betas, self._epsilon = params, betas, epsilon
        self._axes = {name: axis for name, axis in axes.items() if name in params}
        device = next(iter(params.values())).device
        self.cleared = torch.zeros(width, dtype=torch.int64, device=device)
        self.count, self.reset = 0, self.cleared[:0]
        self._grads = [grads[name] for name in params]
        self._moments = {
            key: {name: torch.zeros_like(value) for name, value in params.items()}
            for key in MOMENTS
        }
        self._steps = [torch.zeros((), device=value.device) for value in params.values()]

    def step(self, rate: float) -> None:
        """One step at learning rate ``rate``."""
        self.count += 1
        before = {
            name: self._params[name].index_select(axis, self.reset)
            for name, axis in self._axes.items()
            if len(self.reset)
        }
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
            eps=self._epsilon,
            maximize=False,
        )
        for name, value in before.items():
            self._step_again(name, value, rate)

    def _step_again(self, name: str, before: Tensor, rate: float) -> None:
        """Step the latents that were reset from ``before`` by the moments that they have now."""
        axis, own = self._axes[name], self.count - self.cleared[self.reset]
        first, second = (self._moments[key][name].index_select(axis, self.reset) for key in MOMENTS)
        corrections = (1 - beta ** own.double() for beta in self._betas)
        of_first, of_second = (
            (value if axis == before.ndim - 1 else value[:, None]).to(before.dtype)
            for value in corrections
        )
        change = rate / of_first * first / ((second / of_second).sqrt() + self._epsilon)
        self._params[name].index_copy_(axis, self.reset, before - change)

    def forget(self, latents: Tensor) -> None:
        """Clear the moments of some latents, [H] bool; they count their steps from here."""
        for name, axis in self._axes.items():
            for key in MOMENTS:
                self._moments[key][name].movedim(axis, -1).masked_fill_(latents, 0)
        self.cleared.masked_fill_(latents, self.count)
        self.reset = self.cleared.nonzero()[:, 0]

    def state(self) -> dict[str, Tensor]:
        """What `load_state` continues from; no first moments where beta1 = 0 leaves none."""
        moments = {
            f"{key}.{name}": value
            for key, beta in zip(MOMENTS, self._betas, strict=True)
            if beta
            for name, value in self._moments[key].items()
        }
        return {**moments, "cleared": self.cleared}

    def load_state(self, tensors: dict[str, Tensor], steps: int) -> None:
        """Continue after ``steps`` steps from `state`; other tensors are not looked at."""
        for name, value in self.state().items():
            value.copy_(tensors[name])
        self.count, self.reset = steps, self.cleared.nonzero()[:, 0]
        for clock in self._steps:
            clock.fill_(steps)
