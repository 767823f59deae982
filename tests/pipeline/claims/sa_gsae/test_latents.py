"""Judges of what latents do, on censuses whose numbers are known."""

from __future__ import annotations

import math

import pytest

from pipeline.claims.claim import FAILS, HOLDS, MISSING, OPEN
from pipeline.claims.sa_gsae import parts as latents
from tests.pipeline.claims.sa_gsae.made_tables import evidence, pair, told


def sweep(model="small", hookpoint="mlp_out", **values):
    """A row of a table of sweeps: the candidate of ``pair``."""
    return {
        "model": model,
        "hookpoint": hookpoint,
        "variant": "sagsae_tied",
        "width": 128,
        "d_model": 64,
    } | values


def census(quantity, mean, se=0.01, **values):
    return sweep(**{"quantity": quantity, "mean": mean, "se": se, "cells": 3} | values)


class TestParameters:
    def judged(self, *gaps, **values):
        """At two pairs; of each the gap to Gated of the candidate's width."""
        models = ("small", "large")[: len(gaps)]
        equal = [
            pair(model, comparison=2, baseline_width=128, mean_gap=gap, **values)
            for model, gap in zip(models, gaps, strict=True)
        ]
        rows = [sweep(two_sided_share=0.3), sweep(model="large", two_sided_share=0.5)]
        other = pair(comparison=3, baseline_variant="sagsae", baseline_width=128, mean_gap=-1.0)
        found = evidence(*map(pair, models or ("small",)), *equal, other, parameters=rows)
        return told(latents.parameters, found)

    def test_it_must_be_ahead_at_equal_parameters_on_every_pair(self):
        here, why = "mean R2 gap at equal width {}", "two-sided share of latents 0.300 to 0.500"
        assert self.judged(0.02, 0.001) == (HOLDS, here.format("+0.001 to +0.020"), why)
        assert self.judged(0.02, 0.0)[0] == FAILS
        assert self.judged(0.02, -0.001)[0] == FAILS

    def test_shares_alone_decide_nothing(self):
        reason = "no comparison of it with Gated of its own width"
        assert self.judged() == (MISSING, "", reason)

    def test_without_a_common_range_it_is_open(self):
        assert self.judged(0.02, dominates=None) == (OPEN, "", "no common L0 range")


class TestPolarity:
    def test_more_than_half_at_every_model(self):
        both = evidence(
            pair(),
            pair("large"),
            pair(hookpoint="attn"),
            latents=[
                census("bipolar_fraction", 0.75),
                census("bipolar_fraction", 0.51, math.nan, model="large"),
                census("bipolar_fraction", 0.1, hookpoint="attn"),
                census("bipolar_fraction", 0.1, width=256),
                census("minority_share_median", 0.2),
                census("minority_share_median", 0.4, model="large"),
            ],
        )
        here = "two-sided share of live latents small 0.750 ± 0.010, large 0.510"
        why = "median minority share 0.200 to 0.400"
        assert told(latents.mlp_polarity, both) == (HOLDS, here, why)


class TestTop:
    def rows(self, top, everywhere, **values):
        named = {"hookpoint": "attn"} | values
        return [
            census("bipolar_fraction", everywhere, **named),
            census("top1_bipolar_fraction", top, **named),
            census("top10_bipolar_fraction", 0.0, **named),
        ]

    @pytest.mark.parametrize(("top", "outcome"), [(0.31, HOLDS), (0.3, FAILS), (0.2, FAILS)])
    def test_the_top_must_be_more_two_sided_than_all(self, top, outcome):
        pairs = pair(hookpoint="attn"), pair("large", "attn")
        rows = self.rows(0.9, 0.1) + self.rows(top, 0.3, model="large")
        here = "two-sided share in the top 1 % by contribution "
        here += f"small 0.900 ± 0.010, large {top:.3f} ± 0.010; "
        here += "of all live latents small 0.100 ± 0.010, large 0.300 ± 0.010"
        found = told(latents.attn_top, evidence(*pairs, latents=rows))
        assert found == (outcome, here, "")


def steered(kind="latent", model="small", hookpoint="mlp_out", **values):
    """A row of dial.csv: a latent that is just a dial."""
    variant = {"latent": "sagsae_tied", "pair": "gated", "random": ""}[kind]
    row = {"recipe": "", "model": model, "hookpoint": hookpoint, "comparison": 1}
    row |= {"kind": kind, "variant": variant}
    return row | {"monotone": 1.0, "symmetry": 0.5, "times_random": 2.0, "dial": True} | values


def fallen(**values):
    return steered(**{"monotone": 0.875, "dial": False} | values)


class TestCausalDial:
    def test_more_than_half_of_the_latents_of_every_pair_are_dials(self):
        rows = [
            *(steered(), steered(times_random=3.0), fallen()),
            *(steered(model="large"), steered(model="large")),
            *(steered("pair"), fallen(kind="pair"), fallen(kind="random", times_random=1.0)),
        ]
        here = "dials: small mlp_out 2 of 3; large mlp_out 2 of 2; gain 2x to 3x that of random "
        here += "directions"
        why = "1 of 2 opposite pairs of the baseline, 0 of 1 random directions"
        assert told(latents.causal_dial, evidence(dial=rows)) == (HOLDS, here, why)

    def test_half_is_not_enough_at_any_pair(self):
        rows = [steered(), fallen(), steered(model="large"), steered(model="large")]
        outcome, here, why = told(latents.causal_dial, evidence(dial=rows))
        assert (outcome, why) == (FAILS, "")
        assert here.startswith("dials: small mlp_out 1 of 2; large mlp_out 2 of 2; ")

    @pytest.mark.parametrize(
        "values",
        [
            {"monotone": 0.875},
            {"symmetry": 0.49},
            {"times_random": 1.99},
            {"times_random": math.nan},
        ],
    )
    def test_each_condition_decides_whatever_the_table_says_of_it(self, values):
        assert told(latents.causal_dial, evidence(dial=[steered()]))[0] == HOLDS
        found = evidence(dial=[steered(**values)])
        assert told(latents.causal_dial, found)[0] == FAILS

    def test_without_steering_it_is_open(self):
        why = "this study does not steer: its configuration has no section dial"
        assert told(latents.causal_dial, evidence()) == (MISSING, "", why)
