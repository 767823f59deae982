"""Judges of parts, tying, width and latents, on contrasts and censuses at each limit.

Numbers and remarks of verdicts are compared with those of the committed studies in tests/e2e.
"""

from __future__ import annotations

import math

import pytest

from pipeline.claims.claim import FAILS, HOLDS, MISSING, OPEN
from pipeline.claims.sa_gsae import parts
from tests.pipeline.claims.sa_gsae.made_tables import evidence, outcome, pair


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


INTACT = cell("sagsae_tied", loss_recovered=0.9, dead_fraction=0.1)


@pytest.mark.parametrize(
    ("fallen", "with_it", "expected"), [(3, 0, HOLDS), (2, 0, FAILS), (4, 1, FAILS)]
)
def test_more_than_half_of_the_runs_must_collapse_and_none_with_it(fallen, with_it, expected):
    row = without(baseline_collapsed=fallen, candidate_collapsed=with_it)
    tables = evidence(contrasts=[row], cells=[cell(), cell(lam=1), INTACT])
    assert outcome(parts.no_auxiliary, tables) == expected


@pytest.mark.parametrize(("share", "expected"), [(0.95, HOLDS), (0.949, FAILS)])
def test_nearly_all_latents_are_dead(share, expected):
    cells = [cell(dead_fraction=share, collapsed="R2"), INTACT]
    tables = evidence(contrasts=[without()], cells=cells)
    assert outcome(parts.no_auxiliary_dead, tables) == expected


@pytest.mark.parametrize(
    ("dominates", "expected"),
    [([True, True], HOLDS), ([True, True, None], OPEN), ([True, False, None], FAILS)],
)
def test_two_sides_must_dominate_one_on_every_pair(dominates, expected):
    sides = {"dead_fraction_candidate": 0.1, "dead_fraction_baseline": 0.5, "mean_gap": 0.02}
    row = contrast("ablation", "sagsae_tied", "sagsae_onesided", **sides)
    tables = evidence(contrasts=[row | {"dominates": value} for value in dominates])
    assert outcome(parts.two_sided, tables) == expected


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([(4, 0.005)], HOLDS),  # a fifth of a match
        ([(4, 0.00501)], FAILS),
        ([(4, 0.006), (2, 0.002), (0, None)], HOLDS),  # the mean weighs runs alike
        ([(2, 0.008), (2, 0.004)], FAILS),
    ],
)
@pytest.mark.parametrize(
    ("judge", "name"), [(parts.tied_radii, "sagsae_sym"), (parts.tied_all, "sagsae_tied")]
)
def test_tying_costs_less_than_a_fifth_of_a_match(judge, name, runs, expected):
    numbers = {"r2_delta_max": 0.006, "r2_delta_se": 0.0015, "mean_gap": -0.001}
    rows = [
        contrast("tying", name, "sagsae", r2_delta_abs=mean, intact_pairs=count, **numbers)
        for count, mean in runs
    ]
    others = {"sagsae_sym", "sagsae_tied"} - {name}
    rows += [contrast("tying", other, "sagsae", r2_delta_abs=1.0, **numbers) for other in others]
    assert outcome(judge, evidence(contrasts=rows)) == expected


def collapses(wide, narrow, **values):
    changes = {"hookpoint": "resid", "baseline_collapsed": wide, "candidate_collapsed": narrow}
    return contrast("width", "sagsae_tied", "sagsae_tied", **changes | values)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([collapses(2, 1), collapses(0, 3, model="large")], HOLDS),
        ([collapses(1, 1), collapses(3, 0, hookpoint="attn")], FAILS),
        ([collapses(3, 0, hookpoint="attn")], MISSING),
    ],
)
def test_one_residual_stream_that_collapses_more_at_full_width_is_enough(rows, expected):
    assert outcome(parts.full_width, evidence(contrasts=rows)) == expected


def test_no_run_at_the_candidates_width_collapses():
    cells = [
        cell("sagsae_tied"),
        cell("sagsae", hookpoint="attn"),
        cell("sagsae_noaux", collapsed="R2"),
        cell("sagsae", width=256, collapsed="R2"),
        cell("sagsae", model="large", collapsed="R2"),
    ]
    pairs = pair(), pair(hookpoint="attn")
    assert outcome(parts.half_width, evidence(*pairs, cells=cells)) == HOLDS
    cells.append(cell("sagsae_sym", collapsed="L0"))
    assert outcome(parts.half_width, evidence(*pairs, cells=cells)) == FAILS


def sweep(model="small", hookpoint="mlp_out", **values):
    """A row of a table of sweeps: the candidate of ``pair``."""
    row = {"model": model, "hookpoint": hookpoint, "variant": "sagsae_tied"}
    return row | {"width": 128, "d_model": 64} | values


def census(quantity, mean, **values):
    return sweep(**{"quantity": quantity, "mean": mean, "se": 0.01, "cells": 3} | values)


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
    tables = evidence(*map(pair, models or ("small",)), *equal, other, parameters=rows)
    assert outcome(parts.parameters, tables) == expected


@pytest.mark.parametrize(("share", "expected"), [(0.51, HOLDS), (0.5, FAILS)])
def test_more_than_half_have_both_polarities_at_every_model(share, expected):
    rows = [
        census("bipolar_fraction", 0.75),
        census("bipolar_fraction", share, se=math.nan, model="large"),
        census("bipolar_fraction", 0.1, hookpoint="attn"),
        census("bipolar_fraction", 0.1, width=256),
    ]
    tables = evidence(pair(), pair("large"), pair(hookpoint="attn"), latents=rows)
    assert outcome(parts.mlp_polarity, tables) == expected


@pytest.mark.parametrize(("top", "expected"), [(0.31, HOLDS), (0.3, FAILS), (0.2, FAILS)])
def test_the_top_must_be_more_two_sided_than_all(top, expected):
    shares = {"small": (0.9, 0.1), "large": (top, 0.3)}
    names = ("top1_bipolar_fraction", "bipolar_fraction")
    rows = [
        census(quantity, mean, hookpoint="attn", model=model)
        for model, means in shares.items()
        for quantity, mean in zip(names, means, strict=True)
    ]
    rows.append(census("top10_bipolar_fraction", 0.0, hookpoint="attn"))
    pairs = pair(hookpoint="attn"), pair("large", "attn")
    assert outcome(parts.attn_top, evidence(*pairs, latents=rows)) == expected


DIAL = {"recipe": "", "model": "small", "hookpoint": "mlp_out", "comparison": 1, "kind": "latent"}
DIAL |= {"variant": "sagsae_tied", "monotone": 1.0, "symmetry": 0.5, "times_random": 2.0}
DIAL["dial"] = True
"""A row of dial.csv: a latent that is just a dial."""
FALLEN = DIAL | {"monotone": 0.875, "dial": False}
LARGE = DIAL | {"model": "large"}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([DIAL, DIAL, FALLEN, LARGE], HOLDS),  # more than half of the latents of every pair
        ([DIAL, FALLEN, LARGE], FAILS),
        ([DIAL, *[FALLEN | {"kind": "pair", "variant": "gated"}] * 2], HOLDS),
        ([DIAL, *[FALLEN | {"kind": "random", "variant": ""}] * 2], HOLDS),
        ([DIAL | {"monotone": 0.875}], FAILS),  # whatever the column dial says
        ([DIAL | {"symmetry": 0.49}], FAILS),
        ([DIAL | {"times_random": 1.99}], FAILS),
        ([DIAL | {"times_random": math.nan}], FAILS),
        (None, MISSING),
    ],
)
def test_each_condition_of_a_dial_decides(rows, expected):
    assert outcome(parts.causal_dial, evidence(dial=rows)) == expected
