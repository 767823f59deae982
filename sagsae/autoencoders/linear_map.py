"""The best linear map from what a transcoder reads to what it predicts: the baseline to beat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Self

import torch
from torch import Tensor

# Share of the mean variance of x that is added to each direction: those without any stay out.
RIDGE = 1e-6


class LinearMap(NamedTuple):
    """``y_hat = (x - mean_in) weight + mean_out``, by least squares; float64, on the CPU.

    Attributes:
        weight: [d, d_out].
        mean_in: [d].
        mean_out: [d_out].
    """

    weight: Tensor
    mean_in: Tensor
    mean_out: Tensor

    @classmethod
    def fit(cls, batches: Iterable[Tensor], d: int) -> Self:
        """Fit to all rows.

        Args:
            batches: [B, d + d_out] rows that hold x and y, one beside the other.
            d: Width of x.

        Raises:
            ValueError: there are no rows.
        """
        rows, shift = 0, torch.zeros(())
        total = products = torch.zeros((), dtype=torch.float64)
        for batch in batches:
            both = batch.float()
            if not rows:  # near the mean, so that float32 products hold the covariance
                shift = both.mean(0)
            both = both - shift
            total = total + both.double().sum(0).cpu()
            products = products + (both[:, :d].T @ both).double().cpu()
            rows += len(batch)
        if not rows:
            raise ValueError("no rows to fit a linear map to")
        mean = total / rows
        covariance = products / rows - torch.outer(mean[:d], mean)
        within, mean = covariance[:, :d], mean + shift.double().cpu()
        ridge = RIDGE * within.diagonal().mean() * torch.eye(d, dtype=torch.float64)
        weight = torch.linalg.solve(within + ridge, covariance[:, d:])
        return cls(weight, mean[:d], mean[d:])

    def predict(self, x: Tensor) -> Tensor:
        """[B, d_out] float64 for x [B, d]."""
        weight, mean_in, mean_out = (value.to(x.device) for value in self)
        return (x.double() - mean_in) @ weight + mean_out

    def scaled(self, scale: float, out_scale: float) -> LinearMap:
        """The same map between activations times ``scale`` and targets times ``out_scale``."""
        weight = self.weight * (out_scale / scale)
        return LinearMap(weight, self.mean_in * scale, self.mean_out * out_scale)

    def r2(self, batches: Iterable[Tensor]) -> float:
        """``1 - sse / sst`` over rows [B, d + d_out], as of an autoencoder's reconstruction."""
        d, rows = len(self.mean_in), 0
        sse = square = torch.zeros((), dtype=torch.float64)
        total = torch.zeros_like(self.mean_out)
        for batch in batches:
            y = batch[:, d:].double()
            sse = sse + (y - self.predict(batch[:, :d])).square().sum().cpu()
            square, total = square + y.square().sum().cpu(), total + y.sum(0).cpu()
            rows += len(batch)
        return 1 - float(sse / (square - total.square().sum() / rows))
