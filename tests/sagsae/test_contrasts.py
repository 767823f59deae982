"""Contrasts and errors over seeds, on sweeps whose answer is known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagsae.contrasts import contrast, shared_runs
from sagsae.sweeps import CellResult, Sweep

Runs = dict[tuple[float, int], tuple[float, float | None]]
"""(lambda, seed) -> (L0, R2)."""


def sweep(runs: Runs, label: str = "A", width: int = 100, dead: float = 0.0) -> Sweep:
    return Sweep(
        label=label,
        width=width,
        cells=tuple(
            CellResult(
                name=f"{label}/lam{lam:g}_seed{seed}",
                lam=lam,
                seed=seed,
                l0=l0,
                values={"r2": r2, "dead_fraction": dead},
            )
            for (lam, seed), (l0, r2) in runs.items()
        ),
    )


floats = st.floats(-1, 1, allow_nan=False)
runs = st.dictionaries(
    st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.integers(0, 2)),
    st.tuples(st.floats(0.1, 500), floats),
    min_size=1,
)


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

    def test_each_seed_is_averaged_over_its_own_lambdas(self):
        """Seeds 0, 1 and 2 average to 0, 3 and 9: deviations -4, -1 and 5, variance 21."""
        gaps = {(1, 0): -1.0, (2, 0): 1.0, (1, 1): 3.0, (1, 2): 8.0, (2, 2): 10.0}
        candidate = sweep({run: (1, gap) for run, gap in gaps.items()})
        found = contrast(candidate, sweep(dict.fromkeys(gaps, (1, 0.0))), "r2")
        assert found.se == pytest.approx(math.sqrt(21 / 3))

    def test_nothing_in_common_and_undefined_values_have_reasons(self):
        one, other = sweep({(1, 0): (1, 0.1)}), sweep({(1, 1): (1, 0.1)})
        blank = dict.fromkeys(("mean", "se", "mean_abs", "max_abs", "candidate", "baseline"))
        said = {"pairs": 0, **blank, "reason": "no (lambda, seed) in common"}
        assert vars(contrast(one, other, "r2")) == said
        undefined = sweep({(1, 0): (1, 0.5), (2, 0): (1, None)}, label="B")
        found = contrast(sweep({(1, 0): (1, 0.1), (2, 0): (1, 0.1)}), undefined, "r2")
        assert vars(found) == said | {"reason": "r2 is undefined for B/lam2_seed0"}

    @given(runs, runs)
    def test_swapping_sides_changes_the_sign_only(self, a, b):
        forth, back = (contrast(sweep(x), sweep(y), "r2") for x, y in ((a, b), (b, a)))
        assert forth.pairs == back.pairs
        if forth.pairs:
            assert forth.mean is not None
            assert back.mean == pytest.approx(-forth.mean)
            assert back.mean_abs == forth.mean_abs
            assert abs(forth.mean) <= forth.mean_abs + 1e-12 <= forth.max_abs + 2e-12
