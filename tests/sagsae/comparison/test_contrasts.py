"""Contrasts and errors over seeds, on sweeps whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sagsae.comparison.contrasts import contrast, shared_runs
from tests.sagsae.comparison.samples import sweep


class TestContrast:
    def test_known_differences(self):
        candidate = sweep(
            {(1, 0): (10, 0.5), (1, 1): (10, 0.7), (2, 0): (5, 0.3), (9, 0): (1, 0.0)}
        )
        baseline = sweep({(1, 0): (12, 0.4), (1, 1): (12, 0.4), (2, 0): (6, 0.4), (2, 1): (6, 0.0)})
        found = contrast(candidate, baseline, "r2")
        assert shared_runs(candidate, baseline) == [(1, 0), (1, 1), (2, 0)]
        assert found.pairs == 3
        assert found.mean == pytest.approx((0.1 + 0.3 - 0.1) / 3)
        assert found.mean_abs == pytest.approx(0.5 / 3)
        assert found.max_abs == pytest.approx(0.3)
        assert found.candidate == pytest.approx(1.5 / 3)
        assert found.baseline == pytest.approx(1.2 / 3)
        assert found.reason == ""
        # Seed 0 averages to 0, seed 1 to 0.3.
        assert found.se == pytest.approx(0.15)
        assert contrast(candidate, baseline, "l0").mean == pytest.approx(-5 / 3)

    def test_a_pair_of_which_a_side_collapsed_is_shared_but_takes_no_part(self):
        one, other = (sweep({(1, 0): (9, r2), (2, 0): (9, 0.5)}) for r2 in (0.7, -9))
        fallen = replace(other.cells[0], collapsed=("R2",))
        found = contrast(one, replace(other, cells=(fallen, other.cells[1])), "r2")
        assert (found.pairs, found.mean) == (1, 0)
        none = contrast(replace(other, cells=(fallen,)), one, "r2")
        assert (none.pairs, none.mean) == (0, None)
        assert none.reason == "a side collapsed at every (lambda, seed) in common"
        assert shared_runs(replace(other, cells=(fallen,)), one) == [(1, 0)]

    def test_nothing_in_common_and_undefined_values_have_reasons(self):
        one, other = sweep({(1, 0): (1, 0.1)}), sweep({(1, 1): (1, 0.1)})
        blank = dict.fromkeys(("mean", "se", "mean_abs", "max_abs", "candidate", "baseline"))
        said = {"pairs": 0, **blank, "reason": "no (lambda, seed) in common"}
        assert vars(contrast(one, other, "r2")) == said
        undefined = sweep({(1, 0): (1, 0.5), (2, 0): (1, None)}, label="B")
        found = contrast(sweep({(1, 0): (1, 0.1), (2, 0): (1, 0.1)}), undefined, "r2")
        assert vars(found) == said | {"reason": "r2 is undefined for B/lam2_seed0"}
