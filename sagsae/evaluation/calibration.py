"""What latents do where they fire: how true to size they are, and histograms of their activations.

The first is the paper's Figure 11, by our measure.

Calibration slope of latent i on one sign: the least-squares slope through zero of the residual
coefficient ``v_i . (x - x_hat + z_i v_i)`` on ``z_i``, over the tokens where it fires with that
sign. ``v_i`` is its decoder row, of unit norm, so this is

    1 + sum z_i (v_i . (x - x_hat)) / sum z_i^2

1 means no shrinkage; above 1 the latent fires too weakly. The paper's own definition was not at
hand.

The histograms show the lobes of some latents and the dead zone between them. Which latents, and the
bins, follow from the firings over the whole split, so the split is read a second time; only the
chosen latents are encoded then. Latents are taken evenly over the ranks of firing, nothing is
drawn. All of this is this project's choice.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import pad

from sagsae.autoencoders.base import Autoencoder


@dataclass(frozen=True)
class Firings:
    """Sums over the tokens on which a latent fires, by sign: [2, H], positive before negative.

    On the CPU, wherever the code was: sums of few entries, in one order. They add.

    Attributes:
        count: int64, number of these tokens.
        energy: float64, sum of z^2.
        cross: float64, sum of z times the coefficient of the error, ``v . (x - x_hat)``.
    """

    count: Tensor
    energy: Tensor
    cross: Tensor

    def __add__(self, other: Firings) -> Firings:
        names = (field.name for field in fields(self))
        return Firings(*(getattr(self, name) + getattr(other, name) for name in names))

    @classmethod
    def of_rows(cls, z: Tensor, error: Tensor, decoder: Tensor) -> tuple[Firings, Tensor]:
        """Sums over one batch. The error's coefficients are computed where the code is not zero.

        Args:
            z: [B, H] code.
            error: [B, d] of ``x - x_hat``, in the units of the code.
            decoder: [H, d] unit rows.

        Returns:
            The sums, and [B] int64 on the device of the code: latents that fire on each token.
        """
        z, decoder = z.to(error.dtype), decoder.to(error.dtype)
        width = z.shape[1]
        tokens, latents = z.nonzero(as_tuple=True)
        values = z[tokens, latents]
        fired = torch.bincount(tokens, minlength=len(z))
        starts = pad(fired.cumsum(0), (1, 0))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            where = torch.sparse_csr_tensor(
                starts, latents, torch.zeros_like(values), z.shape, check_invariants=False
            )
        along = torch.sparse.sampled_addmm(where, error, decoder.T, beta=0.0).values()
        side = (latents + width * (values < 0)).cpu()
        values, along = values.double().cpu(), along.double().cpu()
        sums = cls(
            torch.bincount(side, minlength=2 * width).view(2, width),
            torch.bincount(side, values.square(), 2 * width).view(2, width),
            torch.bincount(side, values * along, 2 * width).view(2, width),
        )
        return sums, fired

    @property
    def slopes(self) -> Tensor:
        """Calibration slopes [2, H]; NaN where a latent never fires with that sign."""
        return 1 + self.cross / self.energy.where(self.count > 0, torch.nan)


LATENTS = 16
BINS = 96
# Bins cover -REACH to REACH root mean squares of a latent's non-zero activations.
REACH = 6.0


@dataclass(frozen=True)
class Histograms:
    """Activations z != 0 of k latents, at unit mean square.

    Attributes:
        latents: [k] int64, numbers of the latents, the one that fires most first.
        edges: [k, BINS + 1] float64, ascending and symmetric about 0, which is an edge.
        counts: [k, BINS] int64. A bin holds its lower edge; what lies beyond the outermost edges
            is counted in the outermost bins.
    """

    latents: Tensor
    edges: Tensor
    counts: Tensor


def spread_over_ranks(firings: Tensor, k: int = LATENTS) -> Tensor:
    """Latents at the middles of k equal parts of the ranking by firing, most frequent first.

    Args:
        firings: [H] tokens on which each latent fires. Of equals the lower number ranks first.
        k: How many; all that live where fewer do.
    """
    order = torch.sort(firings, descending=True, stable=True).indices[: int((firings > 0).sum())]
    k = min(k, len(order))
    return order[(2 * torch.arange(k) + 1) * len(order) // (2 * k)] if k else order


def activation_histograms(
    autoencoder: Autoencoder, batches: Iterable[Tensor], firings: Firings
) -> Histograms:
    """Histograms of latents spread over the ranks of firing.

    Args:
        autoencoder: on the device of the batches.
        batches: rows as of `metrics.accumulate`, the ones that ``firings`` sums over.
        firings: sums over all batches.
    """
    count, energy = firings.count.sum(0), firings.energy.sum(0)
    latents = spread_over_ranks(count)
    rms = (energy[latents] / count[latents]).sqrt()
    steps = torch.arange(-BINS // 2, BINS // 2 + 1, dtype=torch.float64) * (2 * REACH / BINS)
    edges = rms[:, None] * steps
    counts = torch.zeros(len(latents), BINS, dtype=torch.int64)
    with torch.inference_mode():
        for x in batches:
            chosen = latents.to(x.device)
            x, _ = autoencoder.sides_of(x.float())
            z = autoencoder.code_of_latents(x * autoencoder.scale, chosen)
            counts += _counted(z.T.cpu().double().contiguous(), edges)
    return Histograms(latents, edges, counts)


def _counted(z: Tensor, edges: Tensor) -> Tensor:
    """[k, BINS] how many of the non-zero z [k, B] each bin holds."""
    bins = (torch.searchsorted(edges, z, right=True) - 1).clamp_(0, BINS - 1)
    places = bins + BINS * torch.arange(len(z))[:, None]
    return torch.bincount(places[z != 0], minlength=edges[:, 1:].numel()).view(-1, BINS)
