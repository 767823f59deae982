"""The lambda at which single latents are looked at."""

from __future__ import annotations

from pipeline.study.operating_point import nearest_lambda


def test_nearness_is_in_ratio():
    assert nearest_lambda({0.1: 100.0, 0.2: 40.0}, 64) == 0.1  # 36 away, as against 24
    assert nearest_lambda({0.1: 103.0, 0.2: 40.0}, 64) == 0.2


def test_of_two_that_are_as_near_the_smaller_is_taken():
    assert nearest_lambda({0.2: 32.0, 0.1: 128.0}, 64) == 0.1


def test_what_never_fires_is_out_of_the_question():
    assert nearest_lambda({0.1: 0.0, 0.2: 1.0}, 64) == 0.2
    assert nearest_lambda({0.1: 0.0}, 64) is None
    assert nearest_lambda({}, 64) is None
