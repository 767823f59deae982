"""The census of the latents that contribute most, against a plain ranking."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sagsae.evaluation.metrics import bipolar_fraction, mean_minority_share, top


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=150),
    st.sampled_from([0.01, 0.1, 1.0]),
    st.integers(0, 2**31),
)
def test_top_latents_agree_with_a_plain_ranking(pairs, fraction, seed):
    n_pos, n_neg = np.array(pairs).T
    live = n_pos + n_neg > 0
    energy = np.random.default_rng(seed).integers(0, 4, len(pairs)).astype(float) * live
    ranking = sorted(np.flatnonzero(live), key=lambda i: (-energy[i], i))
    ranking = ranking[: math.ceil(fraction * live.sum())]
    found = top(torch.from_numpy(energy), torch.from_numpy(live), fraction)
    assert found.tolist() == ranking
    counts = torch.from_numpy(np.stack([n_pos, n_neg]))
    firings = n_pos + n_neg
    minority = np.minimum(n_pos, n_neg) / np.where(live, firings, np.nan)
    if not ranking:
        assert bipolar_fraction(counts, found) is None
        assert mean_minority_share(torch.from_numpy(minority), found) is None
        return
    both = [bool(n_pos[i] and n_neg[i]) for i in ranking]
    assert bipolar_fraction(counts, found) == sum(both) / len(both)
    assert mean_minority_share(torch.from_numpy(minority), found) == pytest.approx(
        minority[ranking].mean(), rel=1e-5
    )
