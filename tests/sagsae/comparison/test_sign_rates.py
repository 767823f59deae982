"""Rates read off curves whose answer is known; intervals."""

from __future__ import annotations

import numpy as np
import pytest

from sagsae.comparison.sign_rates import needed_width, sign_rate


def seeds(mean, sd=0.0, n=3):
    return mean + sd * np.array([-1.0, 0.0, 1.0])[:n]


CURVE = {100: seeds(0.70), 200: seeds(0.72), 400: seeds(0.74)}


def test_a_value_halfway_in_log_width_is_worth_the_geometric_mean():
    found = sign_rate(CURVE, seeds(0.73), 100)
    assert (found.bound, found.rate) == ("", pytest.approx(8**0.5))
    assert [found.low, found.high] == pytest.approx([8**0.5] * 2, rel=0.01)


def test_beyond_the_widths_there_is_a_bound_and_an_open_end():
    above, below = sign_rate(CURVE, seeds(0.75), 200), sign_rate(CURVE, seeds(0.69), 200)
    assert (above.rate, above.bound, above.low, above.high) == (2.0, "above", None, None)
    assert (below.rate, below.bound) == (0.5, "below")
    wide = sign_rate(CURVE, seeds(0.735, 0.01), 100)
    assert wide.low is not None
    assert wide.low < 2.8
    assert (wide.bound, wide.high) == ("", None)


def test_a_curve_that_falls_again_counts_where_it_first_reaches():
    assert needed_width([1, 2, 4, 8], [0.1, 0.3, 0.2, 0.4], 0.3) == 2
    # A monotone cubic is flat at the lowest point, so that it is behind the line on its way up.
    assert 4 * 2**0.75 < needed_width([1, 2, 4, 8], [0.1, 0.3, 0.2, 0.4], 0.35) < 8


def test_one_seed_has_no_interval_and_one_width_no_rate():
    one = {width: values[:1] for width, values in CURVE.items()}
    found = sign_rate(one, np.array([0.73]), 100)
    assert (found.low, found.high) == (None, None)
    with pytest.raises(ValueError, match="two one-sided widths"):
        sign_rate({100: seeds(0.7)}, seeds(0.7), 100)
