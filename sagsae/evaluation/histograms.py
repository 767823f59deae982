"""How the activations of some latents are distributed: the lobes and the dead zone between them.

Which latents, and the bins, follow from the firings over the whole split, so the split is read a
second time; only the chosen latents are encoded then. Latents are taken evenly over the ranks of
firing, nothing is drawn. All of this is this project's choice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.calibration import Firings

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
        batches: [B, d] activations in original units, the ones that ``firings`` sums over.
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
            z = autoencoder.code_of_latents(x.float() * autoencoder.scale, chosen)
            counts += _counted(z.T.cpu().double().contiguous(), edges)
    return Histograms(latents, edges, counts)


def _counted(z: Tensor, edges: Tensor) -> Tensor:
    """[k, BINS] how many of the non-zero z [k, B] each bin holds."""
    bins = (torch.searchsorted(edges, z, right=True) - 1).clamp_(0, BINS - 1)
    places = bins + BINS * torch.arange(len(z))[:, None]
    return torch.bincount(places[z != 0], minlength=edges[:, 1:].numel()).view(-1, BINS)
