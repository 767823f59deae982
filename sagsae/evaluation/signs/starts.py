"""Whether the latents that died began against the mean of the activations.

With ``b_dec`` at zero, activations lie around a mean that may be large beside their spread. Then a
one-sided latent whose encoder row points against the mean never opens, and a two-sided one opens
with its other sign (compare arXiv 2605.31518).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cosine_similarity


@dataclass(frozen=True)
class DeadByStart:
    """Shares of dead latents, by the cosine of their first row with the mean.

    Attributes:
        against: among the quarter of all latents with the lowest cosine.
        along: among the quarter with the highest.
    """

    against: float
    along: float


def dead_by_start(rows: Tensor, mean: Tensor, dead: Tensor) -> DeadByStart:
    """Split the latents by where they began.

    Args:
        rows: [H, d] first encoder rows.
        mean: [d] of the activations.
        dead: [H] bool.
    """
    order = cosine_similarity(rows, mean[None]).argsort()
    quarter = max(1, len(order) // 4)
    shares = (dead[part].double().mean() for part in (order[:quarter], order[-quarter:]))
    return DeadByStart(*map(float, shares))
