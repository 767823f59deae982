"""Reconstruction, sparsity and sign census of one autoencoder over one set of activations.

Everything is a ratio of sums over all tokens, taken last, from float64 and int64 accumulators.
Means of per-batch ratios would be biased, and counts of `z > 0` alone would call a latent that
only fires negatively dead; neither occurs here.

Groups of rows, for example those of each kind of text, have metrics of their own. The sums are
taken in the pass that measures all rows, so the groups cost no second one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import reduce

import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.calibration import Firings
from sagsae.evaluation.distributions import rounded


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


# Rows encoded together on a CPU, so that their codes stay in its cache.
ROWS_PER_CHUNK = 512

# Entries of a code that a GPU computes together: enough to fill it, and 256 MiB in float32.
ENTRIES_ON_GPU = 2**26

COLLAPSED_R2 = 0.2
COLLAPSED_L0 = 1.0
COLLAPSED_DEAD = 0.95


@dataclass(frozen=True, kw_only=True)
class Accumulators:
    """Sums over tokens. They add: the sum over parts is the sum over the whole.

    Attributes:
        tokens: number of tokens n.
        sum_x: [d_out] float64, sum of what is predicted, in original units.
        sum_x2: float64 scalar, sum of their squared norms.
        sse: float64 scalar, sum of the squared norms of `x - x_hat`, original units.
        firings: sums over the tokens on which each latent fires, by sign, unit mean square.
    """

    tokens: int
    sum_x: Tensor
    sum_x2: Tensor
    sse: Tensor
    firings: Firings

    def __add__(self, other: Accumulators) -> Accumulators:
        names = [field.name for field in fields(self)]
        return Accumulators(**{n: getattr(self, n) + getattr(other, n) for n in names})


@dataclass(frozen=True, kw_only=True)
class ReconstructionMetrics:
    """The metrics that need activations only. Build with `from_accumulators`.

    Attributes:
        tokens: evaluation tokens.
        sse: summed squared error, original units.
        sst: summed squared distance to the one mean vector of all these tokens, original units.
        firings: sums over the tokens on which each latent fires, by sign, unit mean square.
    """

    tokens: int
    sse: float
    sst: float
    firings: Firings

    @classmethod
    def from_accumulators(cls, sums: Accumulators) -> ReconstructionMetrics:
        """Ratios of the sums.

        Raises:
            ValueError: constant or non-finite activations, or a non-finite reconstruction.
        """
        sse, sst = float(sums.sse), float(sums.sum_x2 - sums.sum_x.square().sum() / sums.tokens)
        if not math.isfinite(sst):
            raise ValueError("the activations hold NaN or infinities; verify the activation store")
        if sst <= 1e-12 * float(sums.sum_x2):
            raise ValueError("the activations do not vary, so R2 is undefined; check the hookpoint")
        if not math.isfinite(sse):
            raise ValueError("the reconstruction holds NaN or infinities: training diverged")
        return cls(tokens=sums.tokens, sse=sse, sst=sst, firings=sums.firings)

    def __repr__(self) -> str:
        return (
            f"ReconstructionMetrics(tokens={self.tokens}, r2={self.r2:.4f}, l0={self.l0:.2f}, "
            f"dead_fraction={self.dead_fraction:.4f})"
        )

    @property
    def r2(self) -> float:
        """`1 - sse / sst`."""
        return 1.0 - self.sse / self.sst

    @property
    def n_pos(self) -> Tensor:
        """[H] int64, tokens on which each latent fires positively, on the CPU."""
        return self.firings.count[0]

    @property
    def n_neg(self) -> Tensor:
        """[H] int64, tokens on which each latent fires negatively, on the CPU."""
        return self.firings.count[1]

    @property
    def l0(self) -> float:
        """Mean number of latents with `z != 0` on a token."""
        return int(self.firings.count.sum()) / self.tokens

    @property
    def dead_latents(self) -> int:
        """Latents with `z = 0` on every token."""
        return int((self.firings.count.sum(0) == 0).sum())

    @property
    def dead_fraction(self) -> float:
        """`dead_latents / H`."""
        return self.dead_latents / len(self.n_pos)

    @property
    def bipolar_fraction(self) -> float | None:
        """Share of the live latents that fire with both signs; None if all are dead."""
        live = self.firings.count.sum(0).nonzero().flatten()
        return bipolar_fraction(self.firings.count, live)

    @property
    def bipolar_firing_share(self) -> float | None:
        """Share of all firings that belong to such latents; None if none fires."""
        counts = self.firings.count
        return share(counts[:, (counts > 0).all(0)].sum(), counts.sum())

    @property
    def minority_share(self) -> Tensor:
        """[H] float64, `min(n_pos, n_neg) / (n_pos + n_neg)`; NaN for dead latents."""
        counts = self.firings.count
        return counts.amin(0).double() / counts.sum(0).double()

    @property
    def contribution(self) -> Tensor:
        """[H] float64, sum over tokens of `|z_i v_i|^2`, unit mean square."""
        return self.firings.energy.sum(0)

    @property
    def slopes(self) -> Tensor:
        """[2, H] float64 calibration slopes, see `Firings.slopes`."""
        return self.firings.slopes

    @property
    def collapsed(self) -> list[str]:
        """Why this autoencoder counts as collapsed; empty when it does not."""
        reasons = {
            f"R2 {self.r2:.3g} is below {COLLAPSED_R2:g}": self.r2 < COLLAPSED_R2,
            f"L0 {self.l0:.3g} is below {COLLAPSED_L0:g}": self.l0 < COLLAPSED_L0,
            f"{self.dead_fraction:.2%} of the latents are dead, more than {COLLAPSED_DEAD:.0%}": (
                self.dead_fraction > COLLAPSED_DEAD
            ),
        }
        return [reason for reason, holds in reasons.items() if holds]


def accumulate(
    autoencoder: Autoencoder, batches: Iterable[Tensor], groups: GroupSums | None = None
) -> Accumulators:
    """Sums over all batches, row chunk by row chunk, on the device of the batches.

    Args:
        autoencoder: on the device of the batches.
        batches: [B, d] bfloat16 or float32 activations in original units; B may vary. Those of a
            transcoder hold what is predicted beside what is read, [B, d + d_out].
        groups: filled with the sums of each group of rows.

    Raises:
        ValueError: there are no batches, or their width is not the autoencoder's.
    """
    with torch.inference_mode():
        parts = (
            _measure(autoencoder, rows, groups)
            for x in batches
            for rows in x.split(rows_at_once(x.device, autoencoder.width))
        )
        first = next(parts, None)
        if first is None:
            raise ValueError("no evaluation tokens: the held-out activations are empty")
        return reduce(Accumulators.__add__, parts, first)


def rows_at_once(device: torch.device, width: int) -> int:
    """Rows that are encoded together by an autoencoder of a width on a device."""
    on_gpu = max(ROWS_PER_CHUNK, ENTRIES_ON_GPU // width)
    return ROWS_PER_CHUNK if device.type == "cpu" else on_gpu


def _measure(
    autoencoder: Autoencoder, rows: Tensor, groups: GroupSums | None = None
) -> Accumulators:
    x, y = autoencoder.sides_of(rows.float())
    x = x * autoencoder.scale
    z = autoencoder.code(x)
    y_hat = autoencoder.predict(x, z) / autoencoder.out_scale
    firings, fired = Firings.of_rows(z, (y - y_hat) * autoencoder.out_scale, autoencoder.W_dec)
    y = y.double()
    squared_error = (y - y_hat).square_()
    if groups is not None:
        groups.add(y, squared_error, fired)
    return Accumulators(
        tokens=len(y),
        sum_x=y.sum(0),
        sum_x2=y.square().sum(),
        sse=squared_error.sum(),
        firings=firings,
    )


def evaluate_reconstruction(
    autoencoder: Autoencoder, batches: Iterable[Tensor]
) -> ReconstructionMetrics:
    """Metrics of one autoencoder over all batches; see `accumulate` for arguments and errors."""
    return ReconstructionMetrics.from_accumulators(accumulate(autoencoder, batches))


def share(part: Tensor, whole: Tensor) -> float | None:
    """A ratio of counts; None where there is nothing."""
    return int(part) / int(whole) if int(whole) else None


def top(contribution: Tensor, live: Tensor, fraction: float) -> Tensor:
    """The latents that contribute most, largest first; of equals the one with the lower number.

    Args:
        contribution: [H] sum over tokens of ``|z_i v_i|^2``, which is z_i^2 as rows have unit norm.
        live: [H] bool, latents that fire at all.
        fraction: Share of the live latents to take, at least one where there is one.
    """
    order = torch.sort(contribution.where(live, -1.0), descending=True, stable=True).indices
    return order[: math.ceil(fraction * int(live.sum()))]


def bipolar_fraction(counts: Tensor, latents: Tensor) -> float | None:
    """Share of some latents that fire with both signs; None where there are none.

    Args:
        counts: [2, H] firings by sign.
        latents: [k] numbers of live latents.
    """
    both = (counts[:, latents] > 0).all(0)
    return share(both.sum(), torch.tensor(len(latents)))


def mean_minority_share(minority_share: Tensor, latents: Tensor) -> float | None:
    """Mean of ``min(n+, n-) / (n+ + n-)`` [H] over some live latents, six significant digits."""
    return rounded(float(minority_share[latents].mean())) if len(latents) else None
