"""Points, frontiers, gaps and rows of sweeps whose numbers are known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from sagsae.comparison.sweeps import CellResult, Estimate, Frontier, Gap, Sweep

E = math.e


def cell(lam, seed, l0, r2=0.5, collapsed=(), **values) -> CellResult:
    found = {"r2": r2} | values
    name = f"lam{lam:g}_seed{seed}"
    return CellResult(name=name, lam=lam, seed=seed, l0=l0, values=found, collapsed=collapsed)


def sweep(*cells: CellResult, label: str = "A") -> Sweep:
    return Sweep(label=label, width=100, cells=cells)


def frontier(points: dict[float, float]) -> Frontier:
    return Frontier.through(np.array(list(points)), np.array(list(points.values())))


class TestFrontier:
    def test_it_is_in_order_without_zeros_and_with_means_of_ties(self):
        found = Frontier.through(np.array([9.0, 0, 3, 9, 1]), np.array([0.5, 9, 0.2, 0.7, 0.1]))
        assert found.l0.tolist() == [1, 3, 9]
        assert found.log_l0.tolist() == np.log([1, 3, 9]).tolist()
        assert found.value.tolist() == pytest.approx([0.1, 0.2, 0.6])

    def test_l0_of_one_logarithm_are_one_breakpoint(self):
        low = 3.0
        high = np.nextafter(low, 4)
        assert np.log(low) == np.log(high)
        found = frontier({high: 0.4, low: 0.2})
        assert found.l0.tolist() == [low]
        assert found.value.tolist() == [pytest.approx(0.3)]

    def test_an_end_within_two_percent_counts_as_there(self):
        """A sweep of k 32 and 64 whose L0 is a little below k is read at 64, as measured."""
        found = frontier({32.2: 0.4, 63.5: 0.6})
        assert (found.at(64), found.at(32)) == (0.6, 0.4)
        assert not found.reaches(64.8)
        assert not found.reaches(31.5)


class TestGap:
    def test_it_is_read_at_every_breakpoint_of_both_inside_the_overlap(self):
        a = frontier({1.0: 1.0, E**2: 3.0, E**4: 1.0})
        b = frontier({E: 0.0, E**3: 2.0, E**5: 9.0})
        gap = Gap.between(a, b)
        assert gap.l0 == pytest.approx([E, E**2, E**3, E**4])
        assert gap.value == pytest.approx([2.0, 2.0, 0.0, -4.5])
        assert gap.is_range is True
        assert gap.mean == pytest.approx((2.0 + 1.0 - 2.25) / 3)
        back = Gap.between(b, a)
        assert (back.l0.tolist(), back.value.tolist()) == (gap.l0.tolist(), (-gap.value).tolist())

    def test_the_mean_weighs_lengths_in_log_l0(self):
        peak = frontier({1.0: 0.0, E: 1.0, E**4: 0.0})
        assert Gap.between(peak, frontier({1.0: 0.0, E**4: 0.0})).mean == pytest.approx(0.5)
        slope = frontier({1.0: 0.0, E: 1.0, E**4: 1.0})
        assert Gap.between(slope, frontier({1.0: 0.0, E**4: 0.0})).mean == pytest.approx(3.5 / 4)


class TestSweep:
    def test_points_are_means_over_seeds_by_increasing_l0(self):
        lacking = cell(1, 1, 9, 0.3, lr=None)
        found = sweep(cell(2, 0, 2, 0.1, lr=0.9), cell(1, 0, 7, 0.5, lr=0.8), lacking)
        low, high = found.points
        assert (low.lam, low.seeds, low.l0, low.seed) == (2, 1, Estimate(mean=2, se=None), 0)
        assert (high.lam, high.seeds, high.l0, high.seed) == (1, 2, Estimate(mean=8, se=1), None)
        assert low.values == {"r2": Estimate.of([0.1]), "lr": Estimate.of([0.9])}
        assert high.values == {"r2": Estimate.of([0.5, 0.3]), "lr": None}
        assert found.means("lr") == {1: None, 2: Estimate.of([0.9])}
        assert found.undefined("lr") == ("lam1_seed1",)
        assert found.undefined("r2") == ()

    def test_seeds_far_apart_are_points_of_their_own(self):
        """At L0 23, 26 and 148 their mean, 66, is no code that anybody trained."""
        l0, r2 = (22.9, 26.2, 148.2), (0.62, 0.59, 0.68)
        found = sweep(*(cell(1, seed, l0[seed], r2[seed]) for seed in range(3)), cell(2, 0, 9))
        assert [(point.l0.mean, point.seed) for point in found.points] == [
            *((9, 0), (22.9, 0), (26.2, 1), (148.2, 2))
        ]
        assert found.frontier("r2").at(26.2) == pytest.approx(0.59)
        assert found.means("r2")[1].mean == pytest.approx(0.63)
        close = sweep(cell(1, 0, 10), cell(1, 1, 15))
        assert [point.seeds for point in close.points] == [2], "a factor of 1.5 is together"

    def test_collapsed_seeds_are_not_pooled(self):
        fallen = cell(1, 2, 9, -70, collapsed=("R2",))
        found = sweep(cell(1, 0, 8, 0.5), cell(1, 1, 10, 0.7), fallen)
        assert [(point.l0.mean, point.seeds, point.collapsed) for point in found.points] == [
            *((9, 2, ()), (9, 1, ("lam1_seed2",)))
        ]
        assert found.points[0].values["r2"].mean == pytest.approx(0.6)
        assert found.collapsed == {"lam1_seed2": ("R2",)}

    def test_refusals_name_the_cell_and_what_to_do(self):
        with pytest.raises(ValueError, match=r"^A: a sweep needs at least one cell$"):
            sweep()
        message = r"^lam1_seed0: r2 is nan; evaluate this cell again$"
        with pytest.raises(ValueError, match=message):
            sweep(cell(1, 0, 1, math.nan))
        with pytest.raises(ValueError, match=r"^lam1_seed0: L0 is inf; evaluate"):
            sweep(cell(1, 0, math.inf))
        with pytest.raises(ValueError, match=r"^lam1_seed0: L0 is -0\.5, which no code can have$"):
            sweep(cell(1, 0, -0.5))
        with pytest.raises(ValueError, match=r"^lam1_seed0: same lambda and seed as lam1_seed0$"):
            sweep(cell(1, 0, 1), cell(2, 0, 1), cell(1, 1, 1), cell(1, 0, 2))
        assert len(sweep(cell(1, 0, 0), cell(1, 1, 0), cell(2, 0, 0, None)).cells) == 3


class TestResampled:
    table = sweep(
        *(cell(2, seed, 10.0 + seed, 0.1 * (seed + 1)) for seed in range(3)),
        *(cell(1, seed, 100.0 + 10 * seed, 0.4 + 0.1 * (seed + 1)) for seed in range(3)),
    )

    def test_a_draw_has_the_means_of_its_seeds_at_every_lambda(self):
        found = self.table.resampled("r2", 400, np.random.default_rng(0))
        l0, r2 = (side.T for side in found)
        assert (l0.shape, r2.shape) == ((2, 400), (2, 400))
        means = {round(n / 3, 9) for n in range(7)}  # of three seeds out of 0, 1, 2
        assert {round(x / 10 - 10, 9) for x in l0[0]} == means
        assert l0[1] == pytest.approx(l0[0] / 10)
        assert r2[1] == pytest.approx(l0[1] / 10 - 0.9), "the cells of a seed stay together"
        assert r2[0] == pytest.approx(r2[1] + 0.4)
        assert l0[0].mean() == pytest.approx(110, rel=0.05)

    def test_points_of_one_seed_are_there_in_the_draws_that_have_it(self):
        """Seeds 0 and 1 lie far apart at lambda 1; seed 2, which collapsed everywhere, is in no
        draw."""
        l0 = {0: 10, 1: 99, 2: 12}
        made = sweep(*(cell(1, n, l0[n], n, collapsed=("R2",) * (n == 2)) for n in l0))
        found = made.resampled("r2", 400, np.random.default_rng(0))
        low, high = found[0].T
        assert (set(low[~np.isnan(low)]), set(high[~np.isnan(high)])) == ({10}, {99})
        assert np.isnan(high).mean() == pytest.approx((1 / 2) ** 2, abs=0.05)
        partly = sweep(*made.cells, cell(2, 0, 9), cell(2, 1, 9, collapsed=("R2",)))
        assert "same intact seeds" in partly.resampled("r2", 4, np.random.default_rng(0))


def rows(**changes) -> pd.DataFrame:
    """Rows of `sagsae.results`: two cells of one sweep."""
    found = {
        "model": "small",
        "hookpoint": "attn",
        "variant": "gated",
        "recipe": "",
        "width": 128,
        "lam": [0.1, 0.25],
        "seed": [0, 1],
        "l0": [9, 3],
        "r2": [0.5, 0.25],
        "loss_recovered": [math.nan, 0.75],
        "collapsed": ["", "R2 0.1 is below 0.2"],
    }
    return pd.DataFrame(found | changes)


class TestFromRows:
    def test_every_row_is_a_cell(self):
        found = Sweep.from_rows(rows())
        assert (found.label, found.width) == ("gated, H = 128", 128)
        assert found.cells == (
            CellResult(
                name="small/attn/gated/w128_lam0.1_seed0",
                lam=0.1,
                seed=0,
                l0=9.0,
                values={"r2": 0.5, "loss_recovered": None},
                collapsed=(),
            ),
            CellResult(
                name="small/attn/gated/w128_lam0.25_seed1",
                lam=0.25,
                seed=1,
                l0=3.0,
                values={"r2": 0.25, "loss_recovered": 0.75},
                collapsed=("R2 0.1 is below 0.2",),
            ),
        )
        first = found.cells[0]
        kinds = [type(value) for value in (first.lam, first.seed, first.l0, found.width)]
        assert kinds == [float, int, float, int]

    def test_cells_with_a_k_have_it_for_their_lambda(self):
        found = Sweep.from_rows(rows(lam=[math.nan, math.nan], k=[8, 16]))
        assert [cell.name.rpartition("/")[2] for cell in found.cells] == [
            "w128_k8_seed0",
            "w128_k16_seed1",
        ]
        assert [(cell.lam, cell.knob) for cell in found.cells] == [(8.0, "k"), (16.0, "k")]
        assert found.cells[0].values == {"r2": 0.5, "loss_recovered": None}
        beside = Sweep.from_rows(rows(k=[math.nan, math.nan]))
        assert beside == Sweep.from_rows(rows())
        assert {cell.knob for cell in beside.cells} == {"lam"}
        with pytest.raises(ValueError, match=r"^A: has cells with a lambda and cells with a k$"):
            Sweep(label="A", width=128, cells=(*found.cells, *beside.cells))

    @pytest.mark.parametrize("name", ["variant", "recipe"])
    def test_rows_of_two_sweeps_are_refused_and_shown(self, name):
        with pytest.raises(ValueError, match=r"(?s)one variant .*one-kind.*another"):
            Sweep.from_rows(rows(**{name: ["one-kind", "another"]}))
