"""Metrics against an independent float64 NumPy reference, and the traps that others fell into."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sagsae.evaluation import metrics
from sagsae.evaluation.calibration import Firings
from sagsae.evaluation.metrics import (
    Accumulators,
    ReconstructionMetrics,
    evaluate_reconstruction,
)
from tests.sagsae.evaluation.samples import FakeAutoencoder

D, WIDTH, SCALE = 6, 9, 0.25
SIGNS = (1, -1)


def activations() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(101, D, generator=generator) * 3 + 0.7).bfloat16()


def reference(x: np.ndarray, sae: Any) -> dict[str, Any]:
    """Metrics of the soft-thresholding fake, written from their definitions in float64."""
    x, rotation = x.astype(np.float64), sae.rotation.double().numpy()
    u = x * sae.scale @ rotation
    z = np.sign(u) * np.maximum(np.abs(u) - sae.threshold, 0)
    x_hat = z @ rotation.T / sae.scale
    z = np.pad(z, ((0, 0), (0, sae.width - sae.d)))
    along = np.pad((x - x_hat) * sae.scale @ rotation, ((0, 0), (0, sae.width - sae.d))) + z
    n_pos, n_neg = (z > 0).sum(0), (z < 0).sum(0)
    live, both = (n_pos + n_neg) > 0, (n_pos > 0) & (n_neg > 0)
    return {
        "l0": (z != 0).sum(1).mean(),
        "r2": 1 - ((x - x_hat) ** 2).sum() / ((x - x.mean(0)) ** 2).sum(),
        "sse": ((x - x_hat) ** 2).sum(),
        "sst": ((x - x.mean(0)) ** 2).sum(),
        "dead_latents": (~live).sum(),
        "dead_fraction": (~live).mean(),
        "bipolar_fraction": both.sum() / live.sum(),
        "bipolar_firing_share": (n_pos + n_neg)[both].sum() / (n_pos + n_neg).sum(),
        "n_pos": n_pos,
        "n_neg": n_neg,
        "minority_share": np.minimum(n_pos, n_neg)[live] / (n_pos + n_neg)[live],
        "contribution": (z**2).sum(0),
        "slopes": [[slope(z[:, i], along[:, i], sign) for i in range(sae.width)] for sign in SIGNS],
    }


def slope(z: np.ndarray, along: np.ndarray, sign: int) -> float:
    """Least squares through zero of the residual coefficient on z, over tokens of one sign."""
    fires = np.sign(z) == sign
    if not fires.any():
        return math.nan
    return float(np.linalg.lstsq(z[fires, None], along[fires], rcond=None)[0][0])


@pytest.mark.parametrize("rows_per_chunk", [7, 2048])
@pytest.mark.parametrize("batch", [13, 101])
def test_agrees_with_a_float64_reference(monkeypatch, rows_per_chunk, batch):
    monkeypatch.setattr(metrics, "ROWS_PER_CHUNK", rows_per_chunk)
    x, sae = activations(), FakeAutoencoder(D, WIDTH, SCALE)
    found = evaluate_reconstruction(sae, x.split(batch))
    expected = reference(x.float().numpy(), sae)
    assert 0 < expected["dead_fraction"] < 1
    assert 0.2 < expected["r2"] < 0.95
    for name in ("l0", "dead_latents", "dead_fraction", "bipolar_fraction", "bipolar_firing_share"):
        assert getattr(found, name) == pytest.approx(expected[name], rel=1e-12), name
    for name in ("r2", "sse", "sst"):
        assert getattr(found, name) == pytest.approx(expected[name], rel=1e-6), name
    assert found.tokens == 101
    assert found.n_pos.tolist() == expected["n_pos"].tolist()
    assert found.n_neg.tolist() == expected["n_neg"].tolist()
    assert found.n_pos.dtype == found.n_neg.dtype == torch.int64
    live = ~found.minority_share.isnan()
    assert found.minority_share[live].numpy() == pytest.approx(expected["minority_share"])
    assert found.contribution.numpy() == pytest.approx(expected["contribution"], rel=1e-5)
    assert found.slopes.numpy() == pytest.approx(np.array(expected["slopes"]), 1e-5, nan_ok=True)
    assert (found.slopes[~found.slopes.isnan()] > 1.1).all()  # a soft threshold shrinks


def healthy(**changes: Any) -> ReconstructionMetrics:
    """Metrics of 100 latents over 50 tokens, 10 of them live and always on."""
    counts = torch.zeros(100, dtype=torch.int64)
    counts[:10] = 50
    sums = {
        "tokens": 50,
        "sum_x": torch.zeros(2, dtype=torch.float64),
        "sum_x2": torch.tensor(10.0, dtype=torch.float64),
        "sse": torch.tensor(1.0, dtype=torch.float64),
        "firings": firings(counts),
    }
    return ReconstructionMetrics.from_accumulators(Accumulators(**{**sums, **changes}))


def firings(n_pos: Tensor) -> Firings:
    """Latents that are 1 on n_pos tokens and reconstruct exactly what they stand for."""
    by_sign = torch.stack([n_pos, torch.zeros_like(n_pos)])
    return Firings(by_sign, by_sign.double(), torch.zeros(2, 100, dtype=torch.float64))


def counts(live: int, firings: int = 50) -> Tensor:
    return torch.where(torch.arange(100) < live, firings, 0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sse": torch.tensor(7.99, dtype=torch.float64)}, None),
        ({"sse": torch.tensor(8.1, dtype=torch.float64)}, "R2 0.19 is below 0.2"),
        ({"firings": firings(counts(10, 5))}, None),
        ({"firings": firings(counts(10, 4))}, "L0 0.8 is below 1"),
        ({"firings": firings(counts(5))}, None),
        ({"firings": firings(counts(4))}, "96.00% of the latents are dead, more than 95%"),
    ],
)
def test_collapse_is_named(changes, reason):
    assert healthy(**changes).collapsed == ([reason] if reason else [])


def test_unusable_input_is_explained():
    sae, x = FakeAutoencoder(D, WIDTH, 1.0), activations()
    broken = FakeAutoencoder(D, WIDTH, 1.0)
    broken.reconstruct = lambda z: torch.full((len(z), D), float("nan"))
    with pytest.raises(ValueError, match="are empty"):
        evaluate_reconstruction(sae, [])
    with pytest.raises(ValueError, match=r"\(101, 6\); the autoencoder has d = 5"):
        evaluate_reconstruction(FakeAutoencoder(5, WIDTH, 1.0), [x])
    with pytest.raises(ValueError, match="do not vary"):
        evaluate_reconstruction(sae, [torch.ones(10, D)])
    with pytest.raises(ValueError, match="training diverged"):
        evaluate_reconstruction(broken, [x])
    x[3, 2] = float("nan")
    with pytest.raises(ValueError, match="verify the activation store"):
        evaluate_reconstruction(sae, [x])
