"""Quantiles and summaries against NumPy; an empirical distribution function drawn from them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sagsae.evaluation.distributions import Summary, quantiles

NUMBERS = st.floats(-1e6, 1e6) | st.just(math.nan)


@given(st.lists(NUMBERS, max_size=60))
def test_summary_of_what_is_there(values):
    present = np.array([v for v in values if not math.isnan(v)])
    found = Summary.of(torch.tensor(values, dtype=torch.float64))
    assert found.latents == len(present)
    if not len(present):
        assert (found.mean, found.median, found.quantiles) == (None, None, [])
        return
    assert found.mean == pytest.approx(present.mean(), rel=1e-5, abs=1e-5)
    assert found.median == pytest.approx(np.median(present), rel=1e-5)
    expected = [np.percentile(present, level) for level in range(0, 101, 2)]
    rounding = 1e-12 * (1 + np.ptp(present))  # of a position between two neighbours
    assert found.quantiles == pytest.approx(expected, rel=1e-5, abs=rounding)
    assert found.quantiles == sorted(found.quantiles)


def test_the_distribution_function_is_drawn_again_from_the_quantiles():
    values = torch.randn(4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    levels = np.linspace(0, 1, 51)
    for at in (-1.5, -0.3, 0.0, 0.8, 2.0):
        share = np.interp(at, quantiles(values), levels)
        assert share == pytest.approx(float((values <= at).double().mean()), abs=0.01)


def test_six_digits_are_written():
    text = json.dumps(quantiles(torch.tensor([1 / 3, 2 / 3], dtype=torch.float64)))
    assert text.startswith("[0.333333, 0.34, 0.346667")
    assert text.endswith("0.666667]")
