"""Scores of hand-made curves."""

from __future__ import annotations

import pandas as pd
import pytest

from sagsae.evaluation.steering.dial_scores import SYMMETRY, TIMES_RANDOM, Score, is_dial, score

GRID = (-2.0, -1.0, 0.0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        ((-4, -2, 0, 2, 4), Score(1.0, 1.0, 2.0)),
        ((-4, -5, 0, 2, 1), Score(0.5, 0.25, 1.25)),  # two steps back
        ((0, 0, 0, 2, 4), Score(0.5, 0.0, 1.0)),  # one arm
        ((3, 1, 0, 2, 4), Score(0.5, 0.0, 0.25)),  # the same way in both senses
        ((0, 0, 0, 0, 0), Score(0.0, 0.0, 0.0)),
    ],
)
def test_a_curve_has_the_score_of_its_shape(effect, expected):
    assert score(GRID, effect) == expected


def test_a_dial_is_monotone_symmetric_and_stronger_than_chance():
    assert (SYMMETRY, TIMES_RANDOM) == (0.5, 2.0)
    assert is_dial(1.0, 0.5, 2.0)
    for fallen in ((0.99, 0.5, 2.0), (1.0, 0.49, 2.0), (1.0, 0.5, 1.99), (1.0, 1.0, float("nan"))):
        assert not is_dial(*fallen)
    assert is_dial(1.0, 0.2, 1.5, least_symmetry=0.2, least_times=1.5)
    table = pd.DataFrame({"m": [1.0, 1.0], "s": [0.9, 0.9], "t": [3.0, None]})
    assert is_dial(table["m"], table["s"], table["t"]).tolist() == [True, False]
