"""What claims are judged by: which rows count as the main comparison, and words for numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from pipeline.claims.claim import Unmeasured, Untestable
from pipeline.claims.sa_gsae.parts import over_seeds
from pipeline.claims.sa_gsae.sweeps import compared, main_comparison
from pipeline.study.settings import Setting
from tests.pipeline.claims.sa_gsae.made_tables import BASELINE, CANDIDATE, evidence, pair, spec


def test_what_was_steered_stands_under_the_first_comparison_of_its_recipe():
    """Two recipes, each with two pairs of widths: latents of the first are not the second's."""
    sides = [(CANDIDATE | {"expansion": h}, BASELINE | {"expansion": 2 * h}) for h in (2.0, 8.0)]
    scope = spec(
        made_for={
            "cells": {
                f"small/attn/{variant}{at}/w{multiple * 64}_lam0.1_seed0": {}
                for at in ("", "@zero")
                for variant, multiples in (("sagsae_tied", (2, 8)), ("gated", (4, 16)))
                for multiple in multiples
            }
        },
        comparisons=[{"candidate": one, "baseline": other} for one, other in sides],
        hookpoints=["attn"],
        models={"small": 64},
        recipes={"zero": {"training": {"b_dec_init": "zero"}}},
    )
    dial = [
        {"recipe": recipe, "model": "small", "hookpoint": "attn", "comparison": number}
        for number in (1, 2)
        for recipe in ("", "zero")
    ]
    contrast = {"recipe": "", "model": "small", "hookpoint": "attn"}
    contrast |= {"candidate_width": 128, "baseline_width": 256}
    made = evidence(contrasts=[contrast])
    found = replace(made, spec=scope, dial=pd.DataFrame(dial))
    default, _, zero, other = scope.settings
    assert found.under(default).dial.index.tolist() == [0]
    assert found.under(zero).dial.index.tolist() == [1]
    assert found.under(other).dial.empty
    assert found.under(Setting("zero")).dial.index.tolist() == [1]


class TestMain:
    @pytest.mark.parametrize(
        "other",
        [
            {"candidate_variant": "sagsae_noaux"},
            {"baseline_variant": "sagsae"},
            {"baseline_width": 128},
            {"baseline_width": 64},
        ],
    )
    def test_no_other_pair_is(self, other):
        found = evidence(pair(**other))
        assert main_comparison(found).empty
        with pytest.raises(Unmeasured, match="no comparison of a sign-aware variant with Gated of"):
            compared(found)

    def test_only_the_first_such_comparison_counts(self):
        first = [pair(comparison=2), pair(comparison=2, hookpoint="attn")]
        later = pair(comparison=3, candidate_variant="sagsae")
        beside = [pair(comparison=1, baseline_width=128), pair(comparison=2, baseline_width=128)]
        found = main_comparison(evidence(later, *beside, *first))
        assert found["comparison"].tolist() == [2, 2]
        assert found["hookpoint"].tolist() == ["mlp_out", "attn"]

    def test_pairs_without_a_common_range_are_not_compared(self):
        apart = pair(hookpoint="attn", dominates=None, overlap_reason="they do not meet")
        again = pair(hookpoint="resid", dominates=None, overlap_reason="they do not meet")
        other = pair("large", dominates=None, overlap_reason="no point")
        assert compared(evidence(pair(), apart))["hookpoint"].tolist() == ["mlp_out"]
        with pytest.raises(Untestable, match=r"^they do not meet; no point$"):
            compared(evidence(apart, again, other))


def test_an_error_is_over_seeds_each_averaged_first():
    cells = pd.DataFrame({"seed": [0, 0, 1], "r2": [0.1, 0.2, 0.5], "l0": [9.0, 9.0, 9.0]})
    found = over_seeds(cells, "r2")
    assert found.mean == pytest.approx(0.8 / 3)
    assert found.se == pytest.approx((0.5 - 0.15) / math.sqrt(2) / math.sqrt(2))
    assert over_seeds(cells[:2], "r2").se is None
