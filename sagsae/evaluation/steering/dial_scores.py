"""Whether a curve of effect against size is that of a dial (this project's own rules).

The effect is the change of a logit difference, see `sagsae.evaluation.steering.dial`. It is 0
at size 0 by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

# Least range of the weaker arm over that of the stronger, of a dial.
SYMMETRY = 0.5

# Least gain of a dial, over the median gain of random directions of the same norm.
TIMES_RANDOM = 2.0


@dataclass(frozen=True)
class Score:
    """What a curve is judged by.

    Attributes:
        monotone: share of the steps of the grid over which the effect rises.
        symmetry: range of the weaker arm over that of the stronger; 0 where an arm goes the wrong
            way or nowhere.
        gain: rise of the effect from the lowest size to the highest, per unit of size.
    """

    monotone: float
    symmetry: float
    gain: float


def score(sizes: Sequence[float], effect: Sequence[float]) -> Score:
    """Score of one curve.

    Args:
        sizes: the grid: ascending, symmetric about 0, which is in it.
        effect: at each size; 0 at size 0.
    """
    steps = [high - low for low, high in pairwise(effect)]
    arms = sorted((effect[-1], -effect[0]))
    return Score(
        monotone=sum(step > 0 for step in steps) / len(steps),
        symmetry=arms[0] / arms[1] if arms[0] > 0 else 0.0,
        gain=(effect[-1] - effect[0]) / (sizes[-1] - sizes[0]),
    )


def is_dial(
    monotone: Any,
    symmetry: Any,
    times_random: Any,
    least_symmetry: float = SYMMETRY,
    least_times: float = TIMES_RANDOM,
) -> Any:
    """Whether a curve is that of a dial: for numbers, or for columns of a table.

    It rises at every step, its weaker arm has at least ``least_symmetry`` of the range of the
    stronger, and its gain is at least ``least_times`` that of the median random direction.

    Args:
        monotone: see `Score`.
        symmetry: see `Score`.
        times_random: gain over the median gain of random directions; NaN is never enough.
    """
    return (monotone == 1) & (symmetry >= least_symmetry) & (times_random >= least_times)
