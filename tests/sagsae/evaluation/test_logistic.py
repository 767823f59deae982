"""Logistic regression: the gradient vanishes, and an independent library finds the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from sagsae.evaluation import logistic
from sagsae.evaluation.logistic import VANISHED, fit


def made(rows: int, columns: int, seed: int = 0, noise: float = 1.0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=rng, dtype=torch.float64)
    weight = torch.randn(columns, generator=rng, dtype=torch.float64)
    labels = x @ weight + noise * torch.randn(rows, generator=rng, dtype=torch.float64) > 0.3
    return x, labels


def gradient(x, labels, line) -> np.ndarray:
    """Of the sum that is minimised, written out in NumPy."""
    x, sign = x.numpy(), np.where(labels.numpy(), 1.0, -1.0)
    scores = x @ line.weight.numpy() + line.bias
    pull = -sign / (1 + np.exp(sign * scores))
    return np.append(x.T @ pull + line.weight.numpy(), pull.sum())


@pytest.mark.parametrize("columns", [1, 5, 63, 64, 200])
def test_the_gradient_vanishes(columns):
    x, labels = made(300, columns)
    assert np.abs(gradient(x, labels, fit(x, labels))).max() < 2 * VANISHED * 300


@pytest.mark.parametrize("columns", [1, 7, 120])
def test_it_agrees_with_scikit_learn(columns):
    x, labels = made(400, columns, seed=3)
    theirs = LogisticRegression(C=1.0, tol=1e-12, max_iter=100_000)
    theirs.fit(x.numpy(), labels.numpy())
    ours = fit(x, labels)
    np.testing.assert_allclose(ours.weight, theirs.coef_[0], atol=2e-5)
    assert ours.bias == pytest.approx(theirs.intercept_[0], abs=2e-5)


def test_both_ways_to_solve_agree(monkeypatch):
    x, labels = made(200, 20)
    direct = fit(x, labels)
    monkeypatch.setattr(logistic, "DIRECT", 1)
    other = fit(x, labels)
    np.testing.assert_allclose(other.weight, direct.weight, atol=1e-7)
    assert other.bias == pytest.approx(direct.bias, abs=1e-7)


def test_classes_that_a_line_parts_have_a_finite_answer():
    x = torch.tensor([[-3.0], [-2.0], [2.0], [1000.0]])
    line = fit(x, torch.tensor([False, False, True, True]))
    assert (line.scores(x) > 0).tolist() == [False, False, True, True]
    assert 0 < float(line.weight) < 10


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_the_order_of_the_rows_does_not_matter(seed, columns):
    x, labels = made(60, columns, seed)
    if labels.all() or not labels.any():
        return
    order = torch.from_numpy(np.random.default_rng(seed).permutation(60))
    one, other = fit(x, labels), fit(x[order], labels[order])
    np.testing.assert_allclose(one.weight, other.weight, atol=1e-6)


def test_threads_change_no_bit_and_stay_as_they_were():
    x, labels = made(3000, 100)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(fit(x, labels))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0].weight, found[1].weight)
    assert found[0].bias == found[1].bias


def test_what_cannot_be_told_apart_is_refused():
    x = torch.zeros(3, 1)
    for labels in (torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)):
        with pytest.raises(ValueError, match="all rows are of one class"):
            fit(x, labels)
    with pytest.raises(ValueError, match="do not fit"):
        fit(x, torch.ones(2, dtype=torch.bool))
