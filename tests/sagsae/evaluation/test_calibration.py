"""Calibration slopes against least squares in float64 NumPy, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.evaluation.calibration import Firings


def random_code(b: int, h: int, density: float, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((b, h)) * (rng.random((b, h)) < density)


@settings(max_examples=60)
@given(
    b=st.integers(1, 30),
    h=st.integers(1, 12),
    d=st.integers(1, 8),
    density=st.floats(0, 1),
    cuts=st.lists(st.integers(0, 30), max_size=3),
    seed=st.integers(0, 2**31),
)
def test_sums_and_slopes_agree_with_least_squares(b, h, d, density, cuts, seed):
    rng = np.random.default_rng(seed)
    z, error = random_code(b, h, density, rng), rng.standard_normal((b, d))
    rows = rng.standard_normal((h, d))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    parts = np.split(np.arange(b), sorted(min(cut, b) for cut in cuts))
    decoder = torch.from_numpy(rows)
    given_ = [(torch.from_numpy(z[i]), torch.from_numpy(error[i])) for i in parts]
    found = [Firings.of_rows(*part, decoder)[0] for part in given_]
    sums = found[0]
    for part in found[1:]:
        sums = sums + part
    along = error @ rows.T + z  # v . (x - x_hat + z v)
    for side, sign in enumerate((1, -1)):
        for i in range(h):
            fires = sign * z[:, i] > 0
            assert sums.count[side, i] == fires.sum()
            assert sums.energy[side, i] == pytest.approx((z[fires, i] ** 2).sum())
            if fires.any():
                slope = np.linalg.lstsq(z[fires, i, None], along[fires, i], rcond=None)[0][0]
                assert sums.slopes[side, i] == pytest.approx(slope, rel=1e-9, abs=1e-12)
            else:
                assert sums.slopes[side, i].isnan()
