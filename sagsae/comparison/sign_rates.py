"""What a sign is worth in width: at which width one-sided latents do as well as two-sided ones.

The rate at a two-sided width H is W / H, where W is the width at which one side reaches the value
of two. 1: the sign is worth nothing; 2: each of its latents does the work of two; above 2 it helps
to learn them, too. The criterion is this project's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from sagsae.comparison.intervals import half_width
from sagsae.comparison.sweeps import Floats

# Widths between the narrowest and the widest at which an interval is looked for.
GRID = 241


@dataclass(frozen=True, kw_only=True)
class SignRate:
    """The rate at one two-sided width.

    Where one side does not reach the value at any width that was trained, or does better at each,
    ``rate`` is that of the widest or the narrowest one, and ``bound`` says "above" or "below". An
    end of the interval that lies beyond these widths is None, and so are both with one seed.
    """

    rate: float
    bound: str = ""
    low: float | None = None
    high: float | None = None


def sign_rate(one_sided: Mapping[int, Floats], two_sided: Floats, width: int) -> SignRate:
    """How many one-sided latents are worth a two-sided one.

    The value of one side is a monotone cubic in log H between widths (Fritsch and Carlson, 1980).
    W is the smallest width at which it reaches that of two sides. The interval has the widths at
    which the values of both do not differ: see `half_width`, to which the distance of the cubic
    from the line between two widths is added.

    Args:
        one_sided: width H -> values by seed [seeds] float64, higher is better; two widths or more.
        two_sided: the values by seed at ``width``.
        width: of the two-sided dictionary.

    Raises:
        ValueError: fewer than two one-sided widths.
    """
    if len(one_sided) < 2:
        raise ValueError(f"a rate needs two one-sided widths, given {sorted(one_sided)}")
    widths = sorted(one_sided)
    samples = [one_sided[one] for one in widths]
    worth = needed_width(widths, [x.mean() for x in samples], two_sided.mean())
    ends = {0.0: widths[0], math.inf: widths[-1]}
    bound = {0.0: "below", math.inf: "above"}.get(worth, "")
    low = high = None
    if min(x.size for x in (*samples, two_sided)) > 1:
        low, high = _equal_widths(widths, samples, two_sided, ends.get(worth, worth))
    return SignRate(
        rate=ends.get(worth, worth) / width,
        bound=bound,
        low=low and low / width,
        high=high and high / width,
    )


def _equal_widths(
    widths: Sequence[int], samples: Sequence[Floats], two_sided: Floats, worth: float
) -> tuple[float | None, float | None]:
    """The narrowest and the widest dictionary of one side that is as good as two sides, among these
    the one that is worth two sides; None for an end that lies beyond the widths."""
    known, sizes = np.log(widths), np.array([x.size for x in (two_sided, *samples)], float)
    grid = np.union1d(np.linspace(known[0], known[-1], GRID), [math.log(worth)])
    means = np.array([x.mean() for x in samples])
    # Of each width in the value at a point of the grid: [grid, widths].
    shares = np.array([np.interp(grid, known, row) for row in np.eye(len(widths))]).T
    parts = np.array([x.var(ddof=1) for x in (two_sided, *samples)]) / sizes
    variances = parts * np.concatenate([np.ones((len(grid), 1)), shares], axis=1) ** 2
    curve = PchipInterpolator(known, means)(grid)
    room = half_width(variances, sizes) + abs(curve - shares @ means)
    equal = grid[(abs(two_sided.mean() - curve) <= room) | (grid == math.log(worth))]
    low, high = (None if end in known[[0, -1]] else math.exp(end) for end in equal[[0, -1]])
    return low, high


def needed_width(widths: Sequence[int], values: Sequence[float] | Floats, reached: float) -> float:
    """The smallest width at which a monotone cubic in log H through values reaches another value.

    Zero if the narrowest does, infinity if none does.
    """
    if values[0] >= reached:
        return 0.0
    known = np.log(widths)
    curve = PchipInterpolator(known, values)
    for i in range(1, len(widths)):
        if values[i] >= reached:
            between = known[i - 1], known[i]
            return math.exp(brentq(lambda at: float(curve(at)) - reached, *between))
    return math.inf
