"""Judges of parts, tying and width, on contrasts whose numbers are known."""

from __future__ import annotations

import pytest

from pipeline.claims.claim import FAILS, HOLDS, MISSING, OPEN
from pipeline.claims.sa_gsae import parts
from tests.pipeline.claims.sa_gsae.made_tables import evidence, outcome, pair, told


def contrast(kind, candidate, baseline, **values):
    row = {"kind": kind, "model": "small", "hookpoint": "mlp_out"}
    row |= {"candidate_variant": candidate, "baseline_variant": baseline}
    row |= {"pairs": 4, "intact_pairs": 4, "baseline_collapsed": 0, "candidate_collapsed": 0}
    return row | values


def without(**values):
    """An intact variant against the one without the auxiliary loss."""
    return contrast("ablation", "sagsae_tied", "sagsae_noaux", **values)


def cell(variant="sagsae_noaux", **values):
    row = {"model": "small", "hookpoint": "mlp_out", "variant": variant, "width": 128}
    row |= {"lam": 0.1, "seed": 0, "collapsed": "", "loss_recovered": 0.27}
    return row | {"dead_fraction": 0.98} | values


class TestNoAuxiliary:
    intact = cell("sagsae_tied", loss_recovered=0.9, dead_fraction=0.1)
    others = (intact | {"lam": 0.2, "loss_recovered": 0.1}, intact | {"collapsed": "R2", "lam": 1})

    @pytest.mark.parametrize(
        ("fallen", "with_it", "expected"), [(3, 0, HOLDS), (2, 0, FAILS), (4, 1, FAILS)]
    )
    def test_more_than_half_of_the_runs_must_collapse_and_none_with_it(
        self, fallen, with_it, expected
    ):
        cells = [cell(), cell(lam=1), self.intact, *self.others]
        row = without(baseline_collapsed=fallen, candidate_collapsed=with_it)
        found = told(parts.no_auxiliary, evidence(contrasts=[row], cells=cells))
        here = f"{fallen} of 4 runs collapse, {with_it} with it"
        assert found == (expected, f"{here}; Loss Recovered 0.270 (one seed), 0.900 with it", "")

    @pytest.mark.parametrize(("share", "expected"), [(0.95, HOLDS), (0.949, FAILS)])
    def test_nearly_all_latents_are_dead(self, share, expected):
        cells = [cell(dead_fraction=share, collapsed="R2"), self.intact, *self.others]
        found = told(parts.no_auxiliary_dead, evidence(contrasts=[without()], cells=cells))
        assert found == (expected, f"{share:.3f} (one seed) dead, 0.100 with it", "")


@pytest.mark.parametrize(
    ("dominates", "expected"),
    [([True, True], HOLDS), ([True, True, None], OPEN), ([True, False, None], FAILS)],
)
def test_two_sides_must_dominate_one_on_every_pair(dominates, expected):
    sides = {"dead_fraction_candidate": 0.1, "dead_fraction_baseline": 0.5, "mean_gap": 0.02}
    row = contrast("ablation", "sagsae_tied", "sagsae_onesided", **sides)
    found = evidence(contrasts=[row | {"dominates": value} for value in dominates])
    assert outcome(parts.two_sided, found) == expected


def tied(candidate="sagsae_sym", mean=0.004, **values):
    numbers = {"r2_delta_abs": mean, "r2_delta_max": 0.006, "r2_delta_se": 0.0015}
    return contrast("tying", candidate, "sagsae", **numbers | {"mean_gap": -0.001} | values)


class TestTying:
    def test_the_mean_weighs_runs_alike(self):
        less = {"intact_pairs": 2, "r2_delta_max": 0.002, "r2_delta_se": 0.0025, "mean_gap": 0.002}
        fallen = tied(mean=None, intact_pairs=0)
        rows = [tied(), tied(mean=0.001, **less), fallen, tied("sagsae_tied", 1.0)]
        assert told(parts.tied_radii, evidence(contrasts=rows)) == (
            HOLDS,
            "mean |ΔR2| 0.003 over 6 intact runs at equal lambda and seed, largest 0.006, "
            "standard error at most 0.003",
            "R2 gap at equal L0 -0.001 to +0.002",
        )

    @pytest.mark.parametrize(("mean", "expected"), [(0.005, HOLDS), (0.00501, FAILS)])
    def test_a_fifth_of_a_match_is_the_most(self, mean, expected):
        for judge, name in ((parts.tied_radii, "sagsae_sym"), (parts.tied_all, "sagsae_tied")):
            assert outcome(judge, evidence(contrasts=[tied(name, mean)])) == expected
            assert judge.numbers == {"most": pytest.approx(0.005, rel=1e-12)}


class TestWidth:
    def rows(self, wide, narrow, **values):
        changes = {"hookpoint": "resid", "baseline_collapsed": wide, "candidate_collapsed": narrow}
        return contrast("width", "sagsae_tied", "sagsae_tied", **changes | values)

    def test_one_residual_stream_that_collapses_more_at_full_width_is_enough(self):
        found = evidence(contrasts=[self.rows(2, 1), self.rows(0, 3, model="large")])
        assert told(parts.full_width, found) == (HOLDS, "2 of 8 runs at 2H collapse, 4 at H", "")
        elsewhere = self.rows(3, 0, hookpoint="attn")
        as_many = evidence(contrasts=[self.rows(1, 1), elsewhere])
        assert outcome(parts.full_width, as_many) == FAILS
        assert outcome(parts.full_width, evidence(contrasts=[elsewhere])) == MISSING

    def test_no_run_at_the_candidates_width_collapses(self):
        sound = [cell("sagsae_tied"), cell("sagsae_sym"), cell("sagsae", hookpoint="attn")]
        apart = [
            cell("sagsae_noaux", collapsed="R2"),
            cell("sagsae", width=256, collapsed="R2"),
            cell("sagsae", model="large", collapsed="R2"),
        ]
        found = evidence(pair(), pair(hookpoint="attn"), cells=[*sound, *apart])
        assert told(parts.half_width, found) == (HOLDS, "0 of 3 runs collapse", "")
        fallen = [cell("sagsae", collapsed="R2", lam=0.25), cell("sagsae_sym", collapsed="L0")]
        found = evidence(pair(), cells=[*sound, *apart, *fallen])
        names = "small mlp_out sagsae lambda 0.25, small mlp_out sagsae_sym lambda 0.1"
        assert told(parts.half_width, found) == (FAILS, "2 of 5 runs collapse", names)
