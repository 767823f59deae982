"""Reductions of the dead fraction at equal L0, and the errors of both reductions."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sagsae.comparison.dead_latents import (
    LEVELS,
    dead_reduction,
    dead_reduction_at_equal_l0,
    error_over_seeds,
)
from sagsae.comparison.sweeps import Sweep
from tests.sagsae.comparison.samples import at_lambdas, seeded

UNDEFINED = "dead_fraction is undefined for"


def sweep(*points: tuple[float, float | None], width: int = 1000, **changes) -> Sweep:
    """One seed; ``points`` are (L0, dead fraction) at lambdas 1, 2, ..."""
    dead = [share for _, share in points]
    return at_lambdas([(l0, 0.5) for l0, _ in points], dead=dead, width=width, **changes)


def with_ks(one: Sweep) -> Sweep:
    """The same with k in the place of lambda."""
    cells = tuple(replace(cell, knob="k") for cell in one.cells)
    return Sweep(label=one.label, width=one.width, cells=cells)


def test_lambdas_have_none_in_common_with_ks():
    few, many = sweep((10, 0.1)), sweep((10, 0.2), label="B")
    assert dead_reduction(with_ks(few), with_ks(many)).factor == pytest.approx(2)
    for one, other in ((few, with_ks(many)), (with_ks(few), many)):
        reason = dead_reduction(one, other).reason
        assert reason == "one side has lambdas and the other ks: none is in common"
    other = with_ks(sweep((10, 0.2), start=50))
    assert dead_reduction(with_ks(few), other).reason == "no k in common"


class TestAtEqualL0:
    def test_fractions_are_read_off_evenly_in_log_l0_whatever_the_lambdas(self):
        few = sweep((10, 0.1), (1000, 0.1))
        many = sweep((10, 0.2), (1000, 0.4), width=2000, start=50)
        found = dead_reduction_at_equal_l0(few, many, levels=3)
        assert found.factor == pytest.approx((2 * 3 * 4) ** (1 / 3))
        assert (found.points, found.floored, found.left_out, found.reason) == (6, 0, 0, "")
        assert dead_reduction(few, many).reason == "no lambda in common"

    def test_only_the_overlap_counts_and_nine_levels_are_read(self):
        few = sweep((1, 0.9), (10, 0.1), (1000, 0.1))
        many = sweep((10, 0.4), (1000, 0.4), (1e6, 0.01))
        found = dead_reduction_at_equal_l0(few, many)
        assert found.factor == pytest.approx(4)
        assert found.points == 2 * LEVELS == 18

    def test_half_a_latent_is_the_floor_of_each_width_and_levels_without_dead_are_left_out(self):
        few = sweep((10, 0.0), (1000, 0.0), width=100)
        many = sweep((10, 0.0), (1000, 0.4), width=200)
        found = dead_reduction_at_equal_l0(few, many, levels=3)
        assert found.factor == pytest.approx(math.sqrt((0.2 / 0.005) * (0.4 / 0.005)))
        assert (found.points, found.floored, found.left_out) == (4, 2, 1)
        assert found.reason == "1 of 3 levels of L0 left out: no dead latents on either side"
        assert found.ceiling == pytest.approx(found.factor)

    @pytest.mark.parametrize(
        ("left", "right", "reason"),
        [
            (sweep((1, 0.1)), sweep((2, 0.1)), "the L0 ranges do not meet"),
            (sweep((0, 0.1)), sweep((2, 0.1)), "the L0 ranges do not meet"),
            (sweep((1, None)), sweep((1, 0.1)), f"{UNDEFINED} A/lam1_seed0"),
            (sweep((1, 0.1)), sweep((1, None), label="B"), f"{UNDEFINED} B/lam1_seed0"),
            (sweep((1, 0.0)), sweep((1, 0.0)), "no dead latents on either side"),
        ],
    )
    def test_without_an_answer_there_is_a_reason(self, left, right, reason):
        found = dead_reduction_at_equal_l0(left, right)
        assert (found.factor, found.reason) == (None, reason)


class TestErrors:
    def test_they_are_those_of_the_reductions_of_the_seeds(self):
        few = seeded(sweep((10, 0.1)), sweep((10, 0.2)), sweep((10, 0.3)))
        many = seeded(sweep((10, 0.4)), sweep((10, 0.9)))
        for reduction in (dead_reduction, dead_reduction_at_equal_l0):
            found = error_over_seeds(reduction, few, many)
            assert found == pytest.approx(abs(math.log10(4) - math.log10(4.5)) / 2)

    def test_without_a_shared_lambda_there_is_the_one_at_equal_l0_alone(self):
        few = seeded(sweep((10, 0.1), (99, 0.1)), sweep((10, 0.2), (99, 0.1)))
        many = seeded(*[sweep((10, 0.4), (99, 0.4), start=7)] * 2)
        assert error_over_seeds(dead_reduction, few, many) is None
        assert error_over_seeds(dead_reduction_at_equal_l0, few, many) > 0

    def test_one_seed_has_none(self):
        few, many = sweep((10, 0.1)), seeded(sweep((10, 0.4)), sweep((10, 0.9)))
        assert error_over_seeds(dead_reduction, few, many) is None
