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

from sagsae.comparison.sweeps import Floats

# Ends of a 95 % interval.
ENDS = (0.025, 0.975)
# Differences of R2 that may be called none, the smallest first.
EQUIVALENT = (0.01, 0.025)
DRAWS = 2000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value, and the 95 % interval of a bootstrap over seeds; None with one seed.

    With n seeds a bootstrap falls short of the true width by about sqrt((n - 1) / n).
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def equal_within(self) -> float | None:
        """The smallest of ``EQUIVALENT`` that the whole interval lies within, around zero."""
        if self.low is None or self.high is None:
            return None
        most = max(abs(self.low), abs(self.high))
        return next((margin for margin in EQUIVALENT if most <= margin), None)


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


def drawn_means(values: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """[draws] float64: means of values [seeds] that are drawn with replacement."""
    chosen = rng.integers(values.size, size=(draws, values.size))
    means: Floats = values[chosen].mean(axis=1)
    return means


def mean_difference(candidates: Sequence[Floats], baselines: Sequence[Floats]) -> Interval:
    """Mean over pairs of a candidate's value minus its baseline's, with seeds drawn within pairs.

    Args:
        candidates: of each pair the values by seed, [seeds] float64.
        baselines: the same, in the same order.
    """
    pairs = list(zip(candidates, baselines, strict=True))
    value = float(np.mean([a.mean() - b.mean() for a, b in pairs]))
    if any(side.size < 2 for pair in pairs for side in pair):
        return Interval(value=value)
    rng = np.random.default_rng(0)
    drawn = [drawn_means(a, DRAWS, rng) - drawn_means(b, DRAWS, rng) for a, b in pairs]
    low, high = np.quantile(np.mean(drawn, axis=0), ENDS)
    return Interval(value=value, low=float(low), high=float(high))


def sign_rate(one_sided: Mapping[int, Floats], two_sided: Floats, width: int) -> SignRate:
    """How many one-sided latents are worth a two-sided one.

    The value of one side is linear in log H between widths. W is the smallest width at which it
    reaches that of two sides.

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
    rate = needed_width(widths, [x.mean() for x in samples], two_sided.mean()) / width
    ends = {0.0: widths[0] / width, math.inf: widths[-1] / width}
    bound = {0.0: "below", math.inf: "above"}.get(rate, "")
    if min(x.size for x in (*samples, two_sided)) < 2:
        return SignRate(rate=ends.get(rate, rate), bound=bound)
    rng = np.random.default_rng(0)
    curves = np.stack([drawn_means(x, DRAWS, rng) for x in samples], axis=1)
    values = drawn_means(two_sided, DRAWS, rng)
    drawn = [needed_width(widths, *one) / width for one in zip(curves, values, strict=True)]
    low, high = (float(x) for x in np.quantile(drawn, ENDS, method="inverted_cdf"))
    return SignRate(
        rate=ends.get(rate, rate),
        bound=bound,
        low=None if low in ends else low,
        high=None if high in ends else high,
    )


def needed_width(widths: Sequence[int], values: Sequence[float] | Floats, reached: float) -> float:
    """The smallest width at which values, linear in log H between widths, reach another one.

    Zero if the narrowest does, infinity if none does.
    """
    if values[0] >= reached:
        return 0.0
    for i in range(1, len(widths)):
        if values[i] >= reached:
            share = (reached - values[i - 1]) / (values[i] - values[i - 1])
            return float(widths[i - 1] * (widths[i] / widths[i - 1]) ** share)
    return math.inf


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P values of several tests, adjusted by Holm's method; None stays None and counts for none."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted, most = list(p_values), 0.0
    for place, (p, i) in enumerate(known):
        most = max(most, min(1.0, p * (len(known) - place)))
        adjusted[i] = most
    return adjusted
