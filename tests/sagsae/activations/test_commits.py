"""Statistics of stored rows against float64."""

from __future__ import annotations

import numpy as np
import pytest

from sagsae.activations.commits import Moments, RunningMoments

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
