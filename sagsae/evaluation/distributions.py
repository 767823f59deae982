"""Distributions over latents, in few numbers. Importing this module is free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

# 0, 2, ..., 100 %: from these quantiles an empirical distribution function is drawn again.
LEVELS = np.linspace(0, 1, 51)
DIGITS = 6


def rounded(value: float) -> float:
    """The value to six significant digits, so that files stay small and platforms agree."""
    return float(f"{value:.{DIGITS}g}")


def quantiles(values: Tensor) -> list[float]:
    """Quantiles of values [n] at `LEVELS`, interpolated linearly; empty where there are none.

    NaN stands for no value. Six significant digits.
    """
    found = _present(values)
    return [rounded(value) for value in np.quantile(found, LEVELS)] if len(found) else []


@dataclass(frozen=True)
class Summary:
    """A distribution over some of the latents. Six significant digits.

    Attributes:
        latents: how many latents have a value.
        mean, median: of them; None where there are none.
        quantiles: see `quantiles`.
    """

    latents: int
    mean: float | None
    median: float | None
    quantiles: list[float]

    @classmethod
    def of(cls, values: Tensor) -> Summary:
        """The distribution of values [H], of which NaN stands for none."""
        found, levels = _present(values), quantiles(values)
        if not len(found):
            return cls(0, None, None, [])
        return cls(len(found), rounded(float(found.mean())), levels[len(levels) // 2], levels)


def _present(values: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = values.double().cpu().numpy()
    return found[~np.isnan(found)]
