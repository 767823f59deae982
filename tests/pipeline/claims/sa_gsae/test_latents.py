"""Judges of what latents do, on censuses whose numbers are known."""

from __future__ import annotations

import math

import pytest

from pipeline.claims.claim import FAILS, HOLDS, MISSING, OPEN
from pipeline.claims.sa_gsae import parts
from tests.pipeline.claims.sa_gsae.made_tables import evidence, outcome, pair, told


def sweep(model="small", hookpoint="mlp_out", **values):
    """A row of a table of sweeps: the candidate of ``pair``."""
    row = {"model": model, "hookpoint": hookpoint, "variant": "sagsae_tied"}
    return row | {"width": 128, "d_model": 64} | values


def census(quantity, mean, se=0.01, **values):
    return sweep(**{"quantity": quantity, "mean": mean, "se": se, "cells": 3} | values)


@pytest.mark.parametrize(
    ("gaps", "values", "expected"),
    [
        ((0.02, 0.001), {}, HOLDS),
        ((0.02, 0.0), {}, FAILS),
        ((0.02, -0.001), {}, FAILS),
        ((), {}, MISSING),  # shares alone decide nothing
        ((0.02,), {"dominates": None}, OPEN),
    ],
)
def test_the_candidate_must_be_ahead_at_equal_parameters_on_every_pair(gaps, values, expected):
    """Of each pair the gap to Gated of the candidate's width."""
    models = ("small", "large")[: len(gaps)]
    equal = [
        pair(model, comparison=2, baseline_width=128, mean_gap=gap, **values)
        for model, gap in zip(models, gaps, strict=True)
    ]
    rows = [sweep(two_sided_share=0.3), sweep(model="large", two_sided_share=0.5)]
    other = pair(comparison=3, baseline_variant="sagsae", baseline_width=128, mean_gap=-1.0)
    found = evidence(*map(pair, models or ("small",)), *equal, other, parameters=rows)
    assert outcome(parts.parameters, found) == expected


def test_more_than_half_have_both_polarities_at_every_model():
    rows = [
        census("bipolar_fraction", 0.75),
        census("bipolar_fraction", 0.51, math.nan, model="large"),
        census("bipolar_fraction", 0.1, hookpoint="attn"),
        census("bipolar_fraction", 0.1, width=256),
        census("minority_share_median", 0.2),
        census("minority_share_median", 0.4, model="large"),
    ]
    both = evidence(pair(), pair("large"), pair(hookpoint="attn"), latents=rows)
    here = "two-sided share of live latents small 0.750 ± 0.010, large 0.510"
    why = "median minority share 0.200 to 0.400"
    assert told(parts.mlp_polarity, both) == (HOLDS, here, why)
    half = [rows[0], census("bipolar_fraction", 0.5, model="large")]
    less = evidence(pair(), pair("large"), latents=half)
    assert outcome(parts.mlp_polarity, less) == FAILS


@pytest.mark.parametrize(("top", "expected"), [(0.31, HOLDS), (0.3, FAILS), (0.2, FAILS)])
def test_the_top_must_be_more_two_sided_than_all(top, expected):
    rows = [
        census(quantity, mean, hookpoint="attn", model=model)
        for model, shares in {"small": (0.9, 0.1), "large": (top, 0.3)}.items()
        for quantity, mean in zip(
            ("top1_bipolar_fraction", "bipolar_fraction"), shares, strict=True
        )
    ]
    rows.append(census("top10_bipolar_fraction", 0.0, hookpoint="attn"))
    pairs = pair(hookpoint="attn"), pair("large", "attn")
    assert outcome(parts.attn_top, evidence(*pairs, latents=rows)) == expected


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
        first = [steered(), steered(times_random=3.0), fallen()]
        other = [steered(model="large"), steered(model="large")]
        beside = [steered("pair"), fallen(kind="pair"), fallen(kind="random", times_random=1.0)]
        here = "dials: small mlp_out 2 of 3; large mlp_out 2 of 2; gain 2x to 3x that of random "
        here += "directions"
        why = "1 of 2 opposite pairs of the baseline, 0 of 1 random directions"
        found = evidence(dial=[*first, *other, *beside])
        assert told(parts.causal_dial, found) == (HOLDS, here, why)
        half = evidence(dial=[steered(), fallen(), *other])
        assert outcome(parts.causal_dial, half) == FAILS

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
        assert outcome(parts.causal_dial, evidence(dial=[steered()])) == HOLDS
        assert outcome(parts.causal_dial, evidence(dial=[steered(**values)])) == FAILS
        assert outcome(parts.causal_dial, evidence()) == MISSING
