"""Statistics of stored rows against float64."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from sagsae.activations.commits import (
    Moments,
    RunningMoments,
    Statistics,
)

ROWS = np.random.default_rng(0).normal(1000, 1, (2500, 3)).astype(np.float32)
"""More than two parts of `RunningMoments`; float32 sums of their squares keep seven digits."""


def moments_of(rows: np.ndarray) -> Moments:
    sums = RunningMoments(rows.shape[1])
    sums.add(rows)
    return sums.total()


def exact_squares(rows: np.ndarray) -> list[float]:
    return (rows.astype(np.float64) ** 2).sum(1).tolist()


class TestRunning:
    def test_parts_that_come_one_after_the_other_are_one_whole(self):
        sums = RunningMoments(3)
        squares = [sums.add(part) for part in (ROWS[:1024], ROWS[1024:2048], ROWS[2048:])]
        assert [len(part) for part in squares] == [1024, 1024, 452]
        found, whole = sums.total(), moments_of(ROWS)
        assert found.to_json() == whole.to_json()
        assert np.concatenate(squares) == pytest.approx(exact_squares(ROWS), rel=1e-13)

    def test_a_sum_is_of_parts_of_1024_rows_each_added_row_by_row(self):
        """The last digits, which stores record, come from this order."""
        generator = np.random.default_rng(1)
        sizes = 10 ** generator.uniform(-8, 8, (2500, 3))
        rows = (sizes * generator.choice([-1, 1], (2500, 3))).astype(np.float32)
        expected = np.zeros(3)
        for start in range(0, len(rows), 1024):
            part = np.zeros(3)
            for row in rows[start : start + 1024].astype(np.float64):
                part += row
            expected += part
        assert moments_of(rows).sum.tolist() == expected.tolist()


class TestMoments:
    def test_they_are_float64_sums_over_all_rows(self):
        found, exact = moments_of(ROWS), ROWS.astype(np.float64)
        squares = (exact**2).sum(1)
        assert (found.count, found.non_finite) == (2500, 0)
        assert found.sum.dtype == np.float64
        np.testing.assert_allclose(found.sum, exact.sum(0), rtol=1e-13)
        assert found.sum_of_squares == pytest.approx(squares.sum(), rel=1e-13)
        assert found.norm_sum == pytest.approx(np.sqrt(squares).sum(), rel=1e-13)
        assert found.max_norm == pytest.approx(np.sqrt(squares).max(), rel=1e-13)

    def test_rows_that_are_not_finite_are_counted(self):
        rows = np.ones((5, 2), np.float32)
        rows[1, 0], rows[3] = math.nan, math.inf
        assert moments_of(rows).non_finite == 2

    def test_parts_merge_to_the_whole(self):
        parts = [moments_of(rows) for rows in np.split(ROWS, [700, 701])]
        parts[1] = replace(parts[1], non_finite=2)
        found, whole = Moments.merged(iter(parts)), moments_of(ROWS)
        assert (found.count, found.max_norm, found.non_finite) == (2500, whole.max_norm, 2)
        np.testing.assert_allclose(found.sum, whole.sum, rtol=1e-13)
        assert found.sum_of_squares == pytest.approx(whole.sum_of_squares, rel=1e-13)
        assert found.norm_sum == pytest.approx(whole.norm_sum, rel=1e-13)

    def test_json_keeps_every_bit(self):
        found = moments_of(ROWS)
        again = Moments.from_json(json.loads(json.dumps(found.to_json())))
        assert {**vars(again), "sum": again.sum.tolist()} == asdict(found) | {
            "sum": found.sum.tolist()
        }


def test_statistics_are_means_and_the_scale_to_unit_mean_square():
    rows = np.array([[0.3, 0.4], [0.0, 0.5]])
    found = Statistics.of(moments_of(rows.astype(np.float32)))
    assert found.count == 2
    assert found.mean == pytest.approx([0.15, 0.45])
    assert (found.mean_square, found.scale) == (pytest.approx(0.25), pytest.approx(2))
    assert (found.mean_norm, found.max_norm) == (pytest.approx(0.5), pytest.approx(0.5))
    other = Statistics.of(moments_of(np.array([[3.0, 4.0], [0.0, 1.0]], np.float32)))
    assert (other.mean_square, other.mean_norm, other.max_norm) == (13, 3, 5)
    assert other.scale == pytest.approx(1 / math.sqrt(13))
