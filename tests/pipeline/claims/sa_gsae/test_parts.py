"""Judges of parts, tying and width, on contrasts whose numbers are known."""

from __future__ import annotations

import pytest

from pipeline.claims.claim import FAILS, HOLDS, MISSING, OPEN
from pipeline.claims.sa_gsae import parts
from tests.pipeline.claims.sa_gsae.made_tables import evidence, pair, told


def contrast(kind, candidate, baseline, **values):
    return {
        "kind": kind,
        "model": "small",
        "hookpoint": "mlp_out",
        "candidate_variant": candidate,
        "baseline_variant": baseline,
        "pairs": 4,
        "intact_pairs": 4,
        "baseline_collapsed": 0,
        "candidate_collapsed": 0,
    } | values


def without(**values):
    """An intact variant against the one without the auxiliary loss."""
    return contrast("ablation", "sagsae_tied", "sagsae_noaux", **values)


def cell(variant="sagsae_noaux", **values):
    return {
        "model": "small",
        "hookpoint": "mlp_out",
        "variant": variant,
        "width": 128,
        "lam": 0.1,
        "seed": 0,
        "collapsed": "",
        "loss_recovered": 0.27,
        "dead_fraction": 0.98,
    } | values


class TestNoAuxiliary:
    intact = cell("sagsae_tied", loss_recovered=0.9, dead_fraction=0.1)
    others = (intact | {"lam": 0.2, "loss_recovered": 0.1}, intact | {"collapsed": "R2", "lam": 1})

    def judged(self, *rows):
        cells = [cell(), cell(lam=1), self.intact, *self.others]
        return told(parts.no_auxiliary, evidence(contrasts=list(rows), cells=cells))

    def test_more_than_half_of_the_runs_must_collapse(self):
        here = "; Loss Recovered 0.270 (one seed), 0.900 with it"
        most = without(baseline_collapsed=3)
        assert self.judged(most) == (HOLDS, f"3 of 4 runs collapse, 0 with it{here}", "")
        half = without(baseline_collapsed=2)
        assert self.judged(half) == (FAILS, f"2 of 4 runs collapse, 0 with it{here}", "")
        both = self.judged(most, half)
        assert both[:2] == (HOLDS, f"5 of 8 runs collapse, 0 with it{here}")

    def test_none_with_it_may(self):
        found = self.judged(without(baseline_collapsed=4, candidate_collapsed=1))
        assert found[0] == FAILS
        assert found[1].startswith("4 of 4 runs collapse, 1 with it")

    @pytest.mark.parametrize(("share", "outcome"), [(0.95, HOLDS), (0.949, FAILS)])
    def test_nearly_all_latents_are_dead(self, share, outcome):
        cells = [cell(dead_fraction=share, collapsed="R2"), self.intact, *self.others]
        found = told(parts.no_auxiliary_dead, evidence(contrasts=[without()], cells=cells))
        assert found == (outcome, f"{share:.3f} (one seed) dead, 0.100 with it", "")


class TestTwoSided:
    def rows(self, *dominates):
        sides = {"dead_fraction_candidate": 0.1, "dead_fraction_baseline": 0.5, "mean_gap": 0.02}
        one = contrast("ablation", "sagsae_tied", "sagsae_onesided", **sides)
        found = [one | {"dominates": value} for value in dominates]
        found[0] |= {"mean_gap": 0.04, "dead_fraction_baseline": 0.7}
        return evidence(contrasts=found)

    def test_every_pair_must_be_dominated(self):
        why = "mean dead fraction 0.100 with both sides, 0.600 with one"
        here = "the intact gate dominates on 2 of 2 pairs, mean R2 gap +0.020 to +0.040"
        assert told(parts.two_sided, self.rows(True, True)) == (HOLDS, here, why)
        held = told(parts.two_sided, self.rows(True, True, None))
        assert (held[0], held[1]) == (OPEN, here)
        assert "no common L0 range at small" in held[2]
        assert told(parts.two_sided, self.rows(True, False, None))[0] == FAILS
        assert told(parts.two_sided, self.rows(True, False)) == (
            FAILS,
            here.replace("2", "1", 1),
            why,
        )


def tied(candidate="sagsae_sym", mean=0.004, **values):
    numbers = {
        "r2_delta_abs": mean,
        "r2_delta_max": 0.006,
        "r2_delta_se": 0.0015,
        "mean_gap": -0.001,
    }
    return contrast("tying", candidate, "sagsae", **numbers | values)


class TestTying:
    def test_the_mean_weighs_runs_alike(self):
        less = {"intact_pairs": 2, "r2_delta_max": 0.002, "r2_delta_se": 0.0025, "mean_gap": 0.002}
        fallen = tied(mean=None, intact_pairs=0)
        rows = [tied(), tied(mean=0.001, **less), fallen, tied("sagsae_tied", 1.0)]
        found = told(parts.tied_radii, evidence(contrasts=rows))
        assert found == (
            HOLDS,
            "mean |ΔR2| 0.003 over 6 intact runs at equal lambda and seed, largest 0.006, "
            "standard error at most 0.003",
            "R2 gap at equal L0 -0.001 to +0.002",
        )

    @pytest.mark.parametrize(("mean", "outcome"), [(0.005, HOLDS), (0.00501, FAILS)])
    def test_a_fifth_of_a_match_is_the_most(self, mean, outcome):
        for judge, name in ((parts.tied_radii, "sagsae_sym"), (parts.tied_all, "sagsae_tied")):
            assert told(judge, evidence(contrasts=[tied(name, mean)]))[0] == outcome
            assert judge.numbers == {"most": pytest.approx(0.005, rel=1e-12)}


class TestWidth:
    def rows(self, wide, narrow, **values):
        changes = {"hookpoint": "resid", "baseline_collapsed": wide, "candidate_collapsed": narrow}
        return contrast("width", "sagsae_tied", "sagsae_tied", **changes | values)

    def test_one_residual_stream_that_collapses_more_at_full_width_is_enough(self):
        found = evidence(contrasts=[self.rows(2, 1), self.rows(0, 3, model="large")])
        assert told(parts.full_width, found) == (HOLDS, "2 of 8 runs at 2H collapse, 4 at H", "")

    def test_as_many_are_not(self):
        here = "1 of 4 runs at 2H collapse, 1 at H"
        elsewhere = self.rows(3, 0, hookpoint="attn")
        found = evidence(contrasts=[self.rows(1, 1), elsewhere])
        assert told(parts.full_width, found) == (FAILS, here, "")
        lacking = "the grid has no sign-aware variant at 2H and H of one lambda and seed at resid"
        assert told(parts.full_width, evidence(contrasts=[elsewhere])) == (MISSING, "", lacking)

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
