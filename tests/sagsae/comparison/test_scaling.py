"""A law that made the points is found again, predicts what was held out, and knows its limits."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import sagsae
from sagsae.comparison.scaling import point_count, rivals, terms_of

WIDTHS, LEVELS, BUDGETS = (96, 192, 384, 768, 1536), (16, 32, 64), (1e6, 4e6, 16e6, 64e6)


def points(widths=WIDTHS, levels=LEVELS, budgets=BUDGETS, noise=0.0):
    """Errors of a law with all terms, written out; lognormal noise."""
    n, k, t = map(np.array, zip(*itertools.product(widths, levels, budgets), strict=True))
    n, k, t = n.astype(float), k.astype(float), t.astype(float)
    error = np.exp(1.0 - 0.3 * np.log(n) - 0.2 * np.log(k) + 0.01 * np.log(n) * np.log(k))
    error += np.exp(-2.0 - 0.2 * np.log(k)) + np.exp(5.0 - 0.6 * np.log(t))
    error *= np.exp(noise * np.random.default_rng(0).normal(size=len(n)))
    return pd.DataFrame({"width": n, "l0": k, "training_tokens": t, "r2": 1 - error})


def worst(law, at):
    return abs(law.error(at) / (1 - at["r2"]) - 1).max()


def test_the_law_of_the_points_is_found():
    known = points()
    assert worst(sagsae.scaling(known), known) < 1e-4
    assert terms_of(known) == ["a", "b_n", "z", "b_k", "e", "g", "t", "tau"]


@pytest.mark.parametrize("held", ["width", "training_tokens"])
def test_what_was_held_out_is_predicted(held):
    known = points(noise=0.002)
    out = known[held] == known[held].max()
    assert worst(sagsae.scaling(known[~out]), known[out]) < 0.03


def test_a_law_of_few_points_never_says_that_width_or_training_harms():
    """Else a fit to noise says anything of what was not trained."""
    few = points(widths=WIDTHS[:3], levels=(16, 64), budgets=BUDGETS[:3])
    widest = points(widths=(384,), levels=(16, 64), budgets=(16e6,))
    wider = points(widths=(1536,), levels=(16, 64), budgets=(16e6,))
    longer = points(widths=(384,), levels=(16, 64), budgets=(256e6,))
    for seed in range(2):
        noise = np.exp(0.3 * np.random.default_rng(seed).normal(size=len(few)))
        law = sagsae.scaling(few.assign(r2=1 - (1 - few["r2"]) * noise))
        assert max(map(abs, law.terms.values())) <= 10, "a term of a few points alone"
        for beyond in (wider, longer):
            assert (law.error(beyond) <= law.error(widest) + 1e-12).all()


def test_a_grid_without_an_axis_has_a_law_without_its_terms():
    assert terms_of(points(levels=(32,))) == ["a", "b_n", "z", "t", "tau"]
    assert terms_of(points(budgets=(1e6, 4e6))) == ["a", "b_n", "z", "b_k", "e", "g"]
    assert terms_of(points(widths=(96, 192))) == ["a", "b_k", "t", "tau"]
    narrow = points(widths=WIDTHS[:3], levels=(32,), budgets=(1e6,))
    with pytest.raises(ValueError, match="3 points for 3 parameters"):
        sagsae.scaling(narrow)
    with pytest.raises(ValueError, match="three widths or three budgets"):
        sagsae.scaling(points(widths=(96, 192), budgets=(1e6,)))


def test_seeds_of_one_setting_are_one_point():
    """Fifteen cells of three widths with five seeds each tell no more parameters than three do."""
    three = points(widths=WIDTHS[:3], levels=(32,), budgets=BUDGETS[:1])
    seeds = pd.concat([three.assign(l0=32 * (1 + 0.01 * seed)) for seed in range(5)])
    assert (point_count(three), point_count(seeds)) == (3, 3)
    assert point_count(points(levels=(32, 35, 64))) == point_count(points(levels=(32, 64)))
    with pytest.raises(ValueError, match="3 points for 3 parameters: give 6 or more"):
        sagsae.scaling(seeds)


def test_rivals_repeat_the_last_value_and_the_last_step():
    """By hand: the error halves with each doubling of the width, and of L0."""
    rows = [
        {"width": width, "l0": l0, "training_tokens": 1e6, "r2": 1 - 0.4 * 96 / width * 16 / l0}
        for width in (96, 192)
        for l0 in (16, 32)
    ]
    known, asked = pd.DataFrame(rows), {"width": 384, "l0": 32, "training_tokens": 1e6}
    assert rivals(known, "width", pd.Series(asked)) == pytest.approx((0.1, 0.05))
    between = pd.Series(asked | {"l0": 16 * 2**0.5})
    assert rivals(known, "width", between) == pytest.approx((0.1 * 2**0.5, 0.05 * 2**0.5))
    assert rivals(known, "width", pd.Series(asked | {"l0": 64})) == (None, None)
    one_width = known[known["width"] == 192]
    assert rivals(one_width, "width", pd.Series(asked)) == (pytest.approx(0.1), None)
