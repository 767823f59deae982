"""Histograms of chosen latents against NumPy's, on the autoencoders' own codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sagsae.autoencoders.registry import GATED, of_family
from sagsae.autoencoders.weights import build
from sagsae.evaluation.calibration import BINS, REACH, activation_histograms
from sagsae.evaluation.metrics import accumulate


@pytest.mark.parametrize("name", of_family(GATED))
def test_counts_agree_with_numpy(name):
    sae = build(name, 6, 40, scale=0.4)
    sae.initialise(torch.zeros(6), seed=0)
    x = torch.randn(700, 6, generator=torch.Generator().manual_seed(1))
    x[0] *= 40  # beyond the outermost edge
    firings = accumulate(sae, [x]).firings
    found = activation_histograms(sae, x.split(300), firings)
    z = sae.code(x * 0.4).detach().double().numpy()
    assert found.counts.shape == (16, BINS)
    beyond = 0
    for latent, edges, counts in zip(found.latents, found.edges, found.counts, strict=True):
        values = z[:, latent][z[:, latent] != 0]
        rms = np.sqrt((values**2).mean())
        expected = np.linspace(-REACH * rms, REACH * rms, BINS + 1)
        assert edges.numpy() == pytest.approx(expected, rel=1e-9, abs=1e-12)
        beyond += int((np.abs(values) > edges[-1].item()).sum())
        clipped = np.clip(values, edges[0].item(), edges[-1].item())
        plain = np.histogram(clipped, edges.numpy())[0]
        assert np.abs(counts.numpy() - plain).sum() <= 2  # rounding at an edge moves one entry
        assert abs(int(counts.sum()) - len(values)) <= 1
        one_sided = not (z[:, latent] < 0).any()
        assert (counts[: BINS // 2].sum() == 0) == one_sided
    assert beyond > 0
