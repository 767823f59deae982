"""Feature absorption: a latent that ought to fire for a label stays silent, and another one that
points the same way speaks for it.

As SAEBench measures it (arXiv 2503.09532, after arXiv 2409.14507), for sides of latents:

- The *main sides* of a label are those of a k-sparse probe, ranked by how much more they fire with
  the label. k grows from 1 while F1 on the test rows grows by more than `JUMP`.
- The *direction* of the label is the unit weight p of a probe on whole activations.
- Judged are the test rows with the label that this probe finds. On each, T is how far the
  activation goes along p, M what the main sides add to it, and A what at most `MOST_ABSORBERS`
  other sides add, those that add most among the sides of a cosine with p of at least `COSINE`.
- The *absorption fraction* is 0 where M >= T or A < `SHARE` T; else it is 1 where M <= 0; else it
  is ``a / (a + M)`` with ``a = min(A, T - M)``.
- *Full absorption*: no main side fires, and the side that adds most has a cosine of at least
  `COSINE_FULL` and adds at least `SHARE` T.

T is taken from the code of zeros: ``p . (x - reconstruct(0))``. SAEBench takes it from the origin.
There the mean activation counts, which no latent has to explain. SAEBench ranks main latents by the
weights of a probe with an L1 penalty, here they are ranked by the difference of means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sagsae.activations.cpu_products import threads_of_torch
from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.probing.probes import (
    CodeProbes,
    DenseProbe,
    SideCodes,
    decoder_of_sides,
    most_different,
)
from sagsae.evaluation.profiles import lowest_of_each

# Gain of F1 that another main side must bring; their largest number (SAEBench's defaults).
JUMP, MOST_MAIN = 0.03, 10
# Least cosines of an absorbing side with the direction: for the fraction, for full absorption.
COSINE, COSINE_FULL = 0.1, 0.025
# Least share of T that absorbing sides add.
SHARE = 0.4
MOST_ABSORBERS = 3
# A side of a smaller value does not fire.
SILENT = 1e-8
# Of the probe on whole activations, for a label to be judged at all (``min_GT_probe_f1``).
LEAST_F1 = 0.6


@dataclass(frozen=True)
class Absorption:
    """How much of one label is absorbed.

    Attributes:
        main: [k] int64 main sides.
        rows: test rows with the label that the probe on whole activations finds.
        fraction: mean absorption fraction over these rows; None where there are none.
        full: share of them with full absorption.
    """

    main: Tensor
    rows: int
    fraction: float | None
    full: float | None


@dataclass(frozen=True)
class Direction:
    """A label's direction, seen by one autoencoder.

    Attributes:
        cosine: [2 H] float64, of the sides' decoder rows with the direction.
        along: [2 H] float64, how far a side of value 1 goes along it.
    """

    cosine: Tensor
    along: Tensor

    @classmethod
    def of(cls, unit: Tensor, decoder: Tensor) -> Direction:
        """From a unit vector [d] and decoder rows of latents [H, d]."""
        rows = decoder_of_sides(decoder.double().cpu())
        along = rows @ unit
        return cls(along / rows.norm(dim=1).clamp(min=1e-30), along)


def main_sides(probes: CodeProbes) -> Tensor:
    """The main sides [k] of a label, at least one where any fires more with the label."""
    ranked = most_different(probes.difference.clamp(min=0), MOST_MAIN)
    chosen, best = ranked[:0], -1.0
    for k in range(1, len(ranked) + 1):
        f1 = probes.of(ranked[:k]).score.f1
        if f1 <= best + JUMP:
            break
        chosen, best = ranked[:k], f1
    return chosen


def absorption(
    autoencoder: Autoencoder, x: Tensor, probes: CodeProbes, dense: DenseProbe
) -> Absorption:
    """Absorption of one label.

    Args:
        autoencoder: whose codes were probed.
        x: [n, d] activations of all rows, original units.
        probes: of its code on the label's task.
        dense: the probe on whole activations.
    """
    task, main = probes.task, main_sides(probes)
    with torch.no_grad(), threads_of_torch(1):
        rows = x[task.test].double()
        judged = (task.test_labels & (dense.line.scores(rows) > 0)).nonzero().flatten()
        if not len(judged):
            return Absorption(main, 0, None, None)
        unit = dense.line.weight / dense.line.weight.norm()
        weight = autoencoder.W_dec
        nothing = (
            autoencoder.reconstruct(torch.zeros(1, autoencoder.width).to(weight))[0].double().cpu()
        )
        total = (rows[judged] * autoencoder.scale - nothing) @ unit
        direction = Direction.of(unit, weight)
        fraction, full = absorbed(probes.test.take(judged), total, direction, main)
    return Absorption(main, len(judged), float(fraction.mean()), float(full.double().mean()))


def absorbed(
    codes: SideCodes, total: Tensor, direction: Direction, main: Tensor
) -> tuple[Tensor, Tensor]:
    """Absorption on each of n rows.

    Args:
        codes: of these rows.
        total: [n] float64, how far the activation goes along the direction, T.
        direction: of the label.
        main: [k] main sides.

    Returns:
        The absorption fraction [n] float64, and whether absorption is full [n] bool.
    """
    n, entries = len(codes), codes.values.tocoo()
    row, side, value = map(torch.from_numpy, (entries.row, entries.col, entries.data))
    is_main = torch.zeros(len(direction.along), dtype=torch.bool)
    is_main[main] = True
    part = value * direction.along[side]
    by_main = torch.bincount(row, part * is_main[side], n)
    fires = torch.bincount(row[is_main[side] & (value >= SILENT)], minlength=n) > 0
    other = (~is_main[side] & (part > 0) & (direction.cosine[side] >= COSINE)).nonzero().flatten()
    absorbing = other[_largest(row[other], part[other], MOST_ABSORBERS)]
    fraction = _fraction(total, by_main, torch.bincount(row[absorbing], part[absorbing], n))
    top = _largest(row, part, 1)
    best, cosine = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    best[row[top]], cosine[row[top]] = part[top], direction.cosine[side[top]]
    full = ~fires & (cosine >= COSINE_FULL) & (total > 0) & (best >= SHARE * total)
    return fraction, full


def _fraction(total: Tensor, main: Tensor, others: Tensor) -> Tensor:
    unexplained = torch.minimum(others, total - main)
    partly = unexplained / (unexplained + main)
    some = torch.where(main <= 0, 1.0, partly.clamp(0, 1))
    none = (total <= 0) | (main >= total) | (others < SHARE * total)
    return some.where(~none, 0.0)


def _largest(row: Tensor, part: Tensor, count: int) -> Tensor:
    """Which entries are the ``count`` largest of their row, row by row, the largest first."""
    chosen, _ = lowest_of_each(row.numpy(), -part.numpy(), np.arange(len(row)), count)
    return torch.from_numpy(chosen)
