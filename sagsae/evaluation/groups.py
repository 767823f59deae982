"""How well groups of rows are reconstructed, for example those of each kind of text.

The sums are taken in the pass that measures all rows, so the groups cost no second one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class GroupMetrics:
    """Metrics of one group of rows; None where the group has no rows, or rows that do not vary.

    Attributes:
        tokens: rows of the group.
        l0: mean number of latents with `z != 0`.
        sse: summed squared error, original units.
        sst: summed squared distance to the mean of the group's own rows, original units.
        sst_common: the same to the mean of the rows of all groups.
    """

    tokens: int
    l0: float | None
    sse: float
    sst: float
    sst_common: float

    @property
    def r2(self) -> float | None:
        """`1 - sse / sst`: what the group's own mean leaves to explain."""
        return 1.0 - self.sse / self.sst if self.sst else None

    @property
    def r2_common(self) -> float | None:
        """`1 - sse / sst_common`. Weighted by `sst_common`, its mean over groups is R2 of all."""
        return 1.0 - self.sse / self.sst_common if self.sst_common else None


class GroupSums:
    """Sums per group, filled row chunk by row chunk; see `accumulate`.

    Args:
        group: [n] int64, group of every row in the order in which rows will come.
        count: number of groups G.
    """

    def __init__(self, group: Tensor, count: int) -> None:
        self.group, self.count, self.rows = group, count, 0
        self._sums: tuple[Tensor, Tensor] | None = None

    def add(self, x: Tensor, squared_error: Tensor, fired: Tensor) -> None:
        """Add the next rows.

        Args:
            x: [B, d] float64, original units.
            squared_error: [B, d] float64, `(x - x_hat)^2`.
            fired: [B] number of latents with `z != 0`.
        """
        own = self.group[self.rows : self.rows + len(x)].to(x.device)
        self.rows += len(x)
        member = torch.nn.functional.one_hot(own, self.count).T.double()  # [G, B]
        columns = (
            torch.linalg.vector_norm(x, dim=1).square(),
            squared_error.sum(1),
            fired.double(),
        )
        sums = member @ x, member @ torch.stack(columns, 1)
        before = self._sums
        self._sums = sums if before is None else (before[0] + sums[0], before[1] + sums[1])

    def metrics(self) -> list[GroupMetrics]:
        """Metrics of every group.

        Raises:
            ValueError: rows are missing.
        """
        if self._sums is None or self.rows != len(self.group):
            raise ValueError(f"{self.rows} rows came, groups were given for {len(self.group)}")
        sum_x, rest = (sums.cpu() for sums in self._sums)
        common = sum_x.sum(0) / self.rows
        found = []
        for tokens, own, (sum_x2, sse, fired) in zip(
            torch.bincount(self.group, minlength=self.count).tolist(), sum_x, rest, strict=True
        ):
            mean = own / max(tokens, 1)
            found.append(
                GroupMetrics(
                    tokens=tokens,
                    l0=float(fired) / tokens if tokens else None,
                    sse=float(sse),
                    sst=_distance(tokens, own, sum_x2, mean),
                    sst_common=_distance(tokens, own, sum_x2, common),
                )
            )
        return found


def _distance(tokens: int, sum_x: Tensor, sum_x2: Tensor, point: Tensor) -> float:
    """Summed squared distance of some rows to a point; 0 where it is rounding alone."""
    found = float(sum_x2 - 2 * point @ sum_x + tokens * point @ point)
    return found if found > 1e-12 * float(sum_x2) else 0.0
