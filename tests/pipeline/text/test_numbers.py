"""Numbers as tables and sentences spell them."""

from __future__ import annotations

import math

import pytest

from pipeline.text.numbers import BLANK, signed, with_error


@pytest.mark.parametrize(
    ("gap", "spelled"),
    [
        (0.0404, "+0.040"),
        (-0.00004, "-4.0e-05"),
        (0.0, "+0.000"),
        (-1.108, "-1.108"),
        (-189.809, "-190"),
        (math.nan, BLANK),
    ],
)
def test_a_gap_has_its_sign_and_no_more_digits_than_it_needs(gap, spelled):
    assert signed(gap) == spelled


def test_an_error_has_the_digits_of_its_number():
    assert with_error(0.0404, 0.0012, signed) == "+0.040 ± 0.001"
    assert with_error(-189.809, 12.4, signed) == "-190 ± 12"
