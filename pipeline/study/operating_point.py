"""At which lambda or k of a sweep its latents are looked at one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping


def nearest_lambda(l0: Mapping[float, float], level: float) -> float | None:
    """The lambda, or k, whose L0 is nearest a level in log L0; the smaller of two equally near.

    Args:
        l0: lambda -> mean L0 of its cells. One with L0 = 0 is out of the question.
        level: the L0 that is asked for, above 0.

    Returns:
        None where no cell fires.
    """
    firing = [lam for lam, found in l0.items() if found > 0]
    return min(firing, key=lambda lam: (abs(math.log(l0[lam] / level)), lam), default=None)
