"""Logistic regression in float64, by Newton's method on one thread.

Minimised is, as in scikit-learn's ``LogisticRegression`` with C = 1,

    sum_i log(1 + exp(-s_i (x_i . w + b))) + |w|^2 / 2,    s_i = 1 or -1

The bias b is not penalised. The solution is unique, and the method goes on until the gradient has
vanished, so neither a seed nor a number of steps decides what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

PENALTY = 1.0
"""Of ``|w|^2 / 2``, for a sum of losses: 1 / C."""
VANISHED = 1e-9
"""The largest entry of the gradient at the end, per row."""
MOST_STEPS = 100
DIRECT = 64
"""Unknowns up to which Newton's equations are solved directly; above it by conjugate gradients."""


@dataclass(frozen=True)
class Line:
    """A linear classifier: a row is of the class where its score is above 0.

    Attributes:
        weight: [p] float64.
        bias: a number.
    """

    weight: Tensor
    bias: float

    def scores(self, x: Tensor) -> Tensor:
        """[n] float64 of rows [n, p]."""
        return x.double() @ self.weight + self.bias


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread, so that sums have one order and their bits do not hang on the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fit(x: Tensor, labels: Tensor) -> Line:
    """The classifier that minimises the sum above.

    Args:
        x: [n, p], finite.
        labels: [n] bool, both values among them.

    Raises:
        ValueError: one class alone, or shapes that do not fit.
    """
    if x.ndim != 2 or labels.shape != x.shape[:1]:
        raise ValueError(f"rows {tuple(x.shape)} and labels {tuple(labels.shape)} do not fit")
    if labels.all() or not labels.any():
        raise ValueError("all rows are of one class, so nothing can be told apart")
    with one_thread():
        rows = torch.cat([x.double(), torch.ones(len(x), 1, dtype=torch.float64)], 1)
        found = _minimise(rows, labels.double())
    return Line(found[:-1], float(found[-1]))


def _minimise(rows: Tensor, target: Tensor) -> Tensor:
    """The minimum, [p + 1], of rows with a column of ones at the end."""
    ridge = torch.full((rows.shape[1],), PENALTY, dtype=torch.float64)
    ridge[-1] = 0.0
    at = torch.zeros_like(ridge)
    logits = rows @ at
    value = _value(logits, target, ridge, at)
    for _ in range(MOST_STEPS):
        share = logits.sigmoid()
        gradient = rows.T @ (share - target) + ridge * at
        if float(gradient.abs().max()) <= VANISHED * len(rows):
            break
        step = _newton(rows, share * (1 - share), ridge, gradient)
        moved, slope, length = rows @ step, float(gradient @ step), 1.0
        while True:  # the sum is convex, so a short enough step lowers it until rounding ends that
            after = _value(logits + length * moved, target, ridge, at + length * step)
            if after <= value + 1e-4 * length * slope or length < 1e-6:
                break
            length /= 2
        if after >= value:
            break
        at, logits, value = at + length * step, logits + length * moved, after
    return at


def _value(logits: Tensor, target: Tensor, ridge: Tensor, at: Tensor) -> float:
    losses = torch.nn.functional.softplus(logits) - target * logits
    return float(losses.sum() + (ridge * at.square()).sum() / 2)


def _newton(rows: Tensor, weight: Tensor, ridge: Tensor, gradient: Tensor) -> Tensor:
    """The step [p + 1]: minus the inverse Hessian times the gradient."""
    tiny = 1e-12 * len(rows)  # where every row is far from the boundary the bias has no curvature
    if len(ridge) <= DIRECT:
        hessian = rows.T @ (weight[:, None] * rows) + torch.diag(ridge + tiny)
        step: Tensor = -torch.linalg.solve(hessian, gradient)
        return step
    diagonal = weight @ rows.square() + ridge + tiny
    size = float(gradient.abs().max()) / len(rows)
    return _conjugate_gradients(
        lambda v: rows.T @ (weight * (rows @ v)) + (ridge + tiny) * v,
        -gradient,
        diagonal,
        min(0.1, size**0.5),
    )


def _conjugate_gradients(
    product: Callable[[Tensor], Tensor], right: Tensor, diagonal: Tensor, tolerance: float
) -> Tensor:
    """A solution whose residual is smaller than ``right`` by the tolerance, in the norm of the
    inverse diagonal."""
    found, residual = torch.zeros_like(right), right.clone()
    scaled = residual / diagonal
    direction, size = scaled, float(residual @ scaled)
    enough = tolerance**2 * size
    for _ in range(10 * len(right)):
        if size <= enough:
            break
        moved = product(direction)
        length = size / float(direction @ moved)
        found, residual = found + length * direction, residual - length * moved
        scaled = residual / diagonal
        before, size = size, float(residual @ scaled)
        direction = scaled + (size / before) * direction
    return found
