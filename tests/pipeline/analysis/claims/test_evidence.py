"""What claims are judged by: which rows count as the main comparison, and words for numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from pipeline.analysis.claims.evidence import (
    Evidence,
    over_seeds,
)
from pipeline.analysis.claims.verdicts import (
    Unmeasured,
    Untestable,
)
from pipeline.study.scope import Scope
from pipeline.study.settings import Setting
from tests.pipeline.analysis.claims.made_tables import BASELINE, CANDIDATE, evidence, pair, spec


def row(kind: str, candidate: str, baseline: str, **values) -> dict:
    return {"kind": kind, "candidate_variant": candidate, "baseline_variant": baseline} | values


class TestUnder:
    """Two recipes, each with two pairs of widths, at two places."""

    comparisons = [
        {"candidate": CANDIDATE | {"expansion": h}, "baseline": BASELINE | {"expansion": 2 * h}}
        for h in (2.0, 8.0)
    ]
    cells = [
        f"small/{hookpoint}/{variant}{at}/w{multiple * 64}_lam0.1_seed0"
        for hookpoint in ("attn", "resid")
        for at in ("", "@zero")
        for variant, multiple in (
            *(("sagsae_tied", 2), ("gated", 4), ("sagsae_tied", 8), ("gated", 16)),
            ("sagsae_tied", 4),
        )
    ]
    spec = spec(
        cells=cells,
        comparisons=comparisons,
        hookpoints=["attn", "resid"],
        models={"small": 64},
        recipes={"zero": {"training": {"b_dec_init": "zero"}}},
        levels={"": {"b_dec_init": "mean"}, "zero": {"b_dec_init": "zero"}},
    )

    def found(self) -> Evidence:
        rows = [
            pair(comparison=number, recipe=recipe, hookpoint=hookpoint, candidate_width=h)
            | {"baseline_width": 2 * h}
            for number, h in ((1, 128), (2, 512))
            for recipe in ("", "zero")
            for hookpoint in ("attn", "resid")
        ]
        sides = [(128, 128), (128, 256), (256, 512), (512, 1024), (1024, 1024)]
        contrasts = [
            row("width", "sagsae_tied", "sagsae_tied", recipe=recipe, model="small")
            | {"hookpoint": "resid", "candidate_width": one, "baseline_width": other}
            for recipe in ("", "zero")
            for one, other in sides
        ]
        swept = [
            {
                "model": m,
                "hookpoint": h,
                "variant": v.split("@")[0],
                "width": int(w[1:5].rstrip("_l")),
            }
            | {"recipe": v.partition("@")[2]}
            for m, h, v, w in (path.split("/") for path in self.cells)
        ]
        tables = dict.fromkeys(("latents", "parameters", "cells"), swept)
        made = evidence(*rows, contrasts=contrasts, **tables)
        return replace(made, spec=self.spec)

    def test_a_setting_has_its_recipe_its_comparison_and_its_widths(self):
        assert [setting.named for setting in self.spec.settings] == [
            *("default, 2d vs 4d", "default, 8d vs 16d", "zero, 2d vs 4d", "zero, 8d vs 16d")
        ]
        for setting, widths in zip(self.spec.settings, [{128, 256}, {512, 1024}] * 2, strict=True):
            here = self.found().under(setting)
            assert here.setting == setting
            assert here.comparison["comparison"].tolist() == [setting.comparison] * 2
            assert here.main["candidate_width"].tolist() == [min(widths)] * 2
            for name in ("comparison", "contrasts"):
                assert set(getattr(here, name)["recipe"]) == {setting.recipe}
            for name in ("latents", "parameters", "cells"):
                table = getattr(here, name)
                assert set(table["width"]) == widths
                assert set(table["recipe"]) == {setting.recipe}
            found = here.contrasts[["candidate_width", "baseline_width"]].to_numpy().tolist()
            both = [[128, 128], [128, 256]] if 128 in widths else [[512, 1024], [1024, 1024]]
            assert found == both

    def test_places_cut_every_table(self):
        here = self.found().under(self.spec.settings[3]).at([("small", "resid")])
        assert here.comparison["hookpoint"].tolist() == ["resid"]
        assert set(here.cells["hookpoint"]) == {"resid"}
        assert len(here.cells) == 2
        assert here.setting == self.spec.settings[3]
        assert here.at([("small", "attn")]).cells.empty

    def steered(self, spec: Scope) -> Evidence:
        """Under both recipes, at both places, with sides of the first comparison and another."""
        dial = [
            {"recipe": recipe, "model": "small", "hookpoint": hookpoint, "comparison": number}
            for number in (1, 2)
            for recipe in ("", "zero")
            for hookpoint in ("attn", "resid")
        ]
        return replace(self.found(), spec=spec, dial=pd.DataFrame(dial))

    def test_what_was_steered_stands_under_the_first_comparison_of_its_recipe(self):
        found = self.steered(self.spec)
        default, _, zero, other = self.spec.settings
        assert found.under(default).dial["recipe"].tolist() == ["", ""]
        assert found.under(zero).dial["recipe"].tolist() == ["zero", "zero"]
        assert found.under(other).dial.empty  # its latents are of other widths
        assert found.under(Setting("zero")).dial.index.tolist() == [2, 3]
        assert found.under(zero).at([("small", "resid")]).dial.index.tolist() == [3]


class TestMain:
    @pytest.mark.parametrize("variant", ["sagsae", "sagsae_sym", "sagsae_tied"])
    def test_it_is_a_sign_aware_variant_against_gated_of_twice_its_width(self, variant):
        assert len(evidence(pair(candidate_variant=variant)).main) == 1

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
        assert found.main.empty
        with pytest.raises(Unmeasured, match="no comparison of a sign-aware variant with Gated of"):
            _ = found.compared

    def test_only_the_first_such_comparison_counts(self):
        first = [pair(comparison=2), pair(comparison=2, hookpoint="attn")]
        later = pair(comparison=3, candidate_variant="sagsae")
        beside = [pair(comparison=1, baseline_width=128), pair(comparison=2, baseline_width=128)]
        found = evidence(later, *beside, *first).main
        assert found["comparison"].tolist() == [2, 2]
        assert found["hookpoint"].tolist() == ["mlp_out", "attn"]

    def test_pairs_without_a_common_range_are_not_compared(self):
        apart = pair(hookpoint="attn", dominates=None, overlap_reason="they do not meet")
        again = pair(hookpoint="resid", dominates=None, overlap_reason="they do not meet")
        other = pair("large", dominates=None, overlap_reason="no point")
        assert evidence(pair(), apart).compared["hookpoint"].tolist() == ["mlp_out"]
        with pytest.raises(Untestable, match=r"^they do not meet; no point$"):
            _ = evidence(apart, again, other).compared

    def test_the_rest_is_where_it_does_not_dominate(self):
        some = evidence(pair(), pair(hookpoint="attn", dominates=False))
        assert some.rest["hookpoint"].tolist() == ["attn"]
        with pytest.raises(Untestable, match=r"^it strictly dominates on every pair compared"):
            _ = evidence(pair()).rest


def test_an_error_is_over_seeds_each_averaged_first():
    cells = pd.DataFrame({"seed": [0, 0, 1], "r2": [0.1, 0.2, 0.5], "l0": [9.0, 9.0, 9.0]})
    found = over_seeds(cells, "r2")
    assert found.mean == pytest.approx(0.8 / 3)
    assert found.se == pytest.approx((0.5 - 0.15) / math.sqrt(2) / math.sqrt(2))
    assert over_seeds(cells[:2], "r2").se is None
