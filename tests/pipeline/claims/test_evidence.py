"""What claims are judged by: which rows count as the main comparison, and words for numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from pipeline.claims.evidence import (
    CAPTION,
    V1,
    V2,
    Evidence,
    Number,
    claim,
    format_estimate,
    over_seeds,
)
from pipeline.claims.verdicts import (
    FAILS,
    HOLDS,
    MISSING,
    OPEN,
    Unmeasured,
    Untestable,
    Verdict,
    decided,
    measured,
    place,
)
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.settings import Setting
from sagsae.sweeps import Estimate
from tests.pipeline.claims.made_tables import BASELINE, CANDIDATE, evidence, pair, spec


def test_a_number_shows_itself_in_digits_or_in_words():
    assert f"{Number(0.35)} {Number(100)} {Number(0.123):.1f}" == "0.35 100 0.1"
    assert [f"{Number(value):words}" for value in (0.5, 1, 2)] == ["half", "one", "two"]


def test_a_verdict_is_one_of_two_and_an_open_claim_has_a_reason():
    assert Verdict(outcome=OPEN, here="").why == ""
    assert decided(True, "5 of 6") == Verdict(outcome=HOLDS, here="5 of 6", why="")
    assert decided(False, "", "few") == Verdict(outcome=FAILS, here="", why="few")
    assert Untestable("why").verdict == Verdict(outcome=OPEN, here="", why="why")
    assert Untestable("why", "0.3").verdict == Verdict(outcome=OPEN, here="0.3", why="why")
    assert str(Untestable("why")) == str(Untestable("why", "0.3")) == "why"
    assert (HOLDS, FAILS, OPEN, MISSING) == (
        "holds",
        "does not hold",
        "not testable",
        "not measured",
    )
    assert Unmeasured("why").verdict == Verdict(outcome=MISSING, here="", why="why")
    assert (V1, V2, CAPTION) == ("abstract, v1", "abstract, v2", "captions")


def test_rows_are_needed():
    rows = pd.DataFrame({"a": [1]})
    assert measured(rows, "none") is rows
    with pytest.raises(Unmeasured, match="nothing there"):
        measured(rows.iloc[:0], "nothing there")


def test_a_claim_gives_its_numbers_to_the_judge_and_to_its_texts():
    @claim(
        statement="At least {least} rows",
        source="here",
        criterion="{least}, like claim {claims[other]}",
        least=1,
    )
    def enough(found: Evidence, least: float) -> Verdict:
        if len(found.comparison) > 5:
            raise Untestable("too many", "six")
        return decided(len(found.comparison) >= least, f"{len(found.comparison)} rows")

    assert enough.key == "enough"
    assert enough.numbers == {"least": 1}
    assert enough.texts({"other": 4}) == {
        "statement": "At least 1 rows",
        "paper": "",
        "source": "here",
        "criterion": "1, like claim 4",
    }
    assert enough.verdict(evidence()) == decided(True, "1 rows")
    assert enough.verdict(evidence(*[pair()] * 6)) == Untestable("too many", "six").verdict
    told = claim(statement="s", source="v", criterion="c", paper="{most} x", most=4)(lambda _: None)
    assert told.texts({})["paper"] == "4 x"


def test_the_tables_of_a_study_are_read_by_their_names(tmp_path):
    names = ("comparison", "contrasts", "latents", "parameters", "cells")
    for number, name in enumerate([*names, "summary"]):
        pd.DataFrame({"comparison": [number]}).to_csv(tmp_path / f"{name}.csv", index=False)
    found = Evidence.read(spec(), tmp_path, tmp_path / "summary.csv")
    assert [int(getattr(found, name)["comparison"][0]) for name in names] == [0, 1, 2, 3, 4]
    assert found.synthetic["comparison"].tolist() == [5]
    assert found.spec == spec()
    assert Evidence.read(spec(), tmp_path, None).synthetic is None
    assert found.setting is None
    assert found.dial is None
    pd.DataFrame({"comparison": [6]}).to_csv(tmp_path / "dial.csv", index=False)
    assert Evidence.read(spec(), tmp_path, None).dial is None  # of an earlier configuration
    assert Evidence.read(spec(dial=True), tmp_path, None).dial["comparison"].tolist() == [6]


def test_of_several_settings_the_comparison_has_what_is_known_at_equal_l0(tmp_path):
    for name in ("contrasts", "latents", "parameters", "cells"):
        pd.DataFrame({"comparison": [0]}).to_csv(tmp_path / f"{name}.csv", index=False)
    names = ["comparison", "recipe", "model", "hookpoint"]
    rows = [
        (n, r, m, h)
        for n in (1, 2)
        for r in ("", "zero")
        for m in "ab"
        for h in ("mlp_out", "attn")
    ]
    table = pd.DataFrame(rows, columns=names)
    table.assign(dead_ceiling=1).to_csv(tmp_path / "comparison.csv", index=False)
    effects = table.assign(equal_l0_reduction=range(16), dead_drop=5)[::-1][:-1]
    effects.to_csv(tmp_path / "effects.csv", index=False)
    found = Evidence.read(TestUnder.spec, tmp_path, None).comparison
    assert list(found) == [*names, "dead_ceiling", "equal_l0_reduction"]
    assert found["equal_l0_reduction"].tolist()[1:] == list(range(1, 16))
    assert math.isnan(found["equal_l0_reduction"][0])


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

    def test_one_pair_of_widths_leaves_the_others_in_place(self):
        alone = self.spec.model_copy(update={"comparisons": self.spec.comparisons[:1]})
        alone = ComparisonSpec.model_validate(alone.model_dump())
        found = replace(self.found(), spec=alone)
        assert [setting.named for setting in alone.settings] == [
            "default, 2d vs 4d",
            "zero, 2d vs 4d",
        ]
        here = found.under(alone.settings[1])
        assert set(here.cells["width"]) == {128, 256, 512, 1024}
        assert len(here.contrasts) == 5

    def test_tables_without_rows_keep_their_columns(self):
        found = replace(self.found(), contrasts=self.found().contrasts[:0])
        assert list(found.under(self.spec.settings[0]).contrasts) == list(found.contrasts)

    def test_a_setting_without_a_comparison_has_no_rows_of_one(self):
        here = self.found().under(Setting("zero"))
        assert here.comparison.empty
        assert set(here.cells["width"]) == {128, 256, 512, 1024}
        with pytest.raises(Unmeasured, match="no comparison of a sign-aware variant"):
            _ = here.compared

    def test_places_cut_every_table(self):
        here = self.found().under(self.spec.settings[3]).at([("small", "resid")])
        assert here.comparison["hookpoint"].tolist() == ["resid"]
        assert set(here.cells["hookpoint"]) == {"resid"}
        assert len(here.cells) == 2
        assert here.setting == self.spec.settings[3]
        assert here.at([("small", "attn")]).cells.empty

    def steered(self, spec: ComparisonSpec) -> Evidence:
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

    def test_of_one_pair_of_widths_it_stands_under_any_comparison(self):
        first, second = self.comparisons
        itself = first | {"baseline": CANDIDATE | {"expansion": 4.0}}
        pairs = {"comparisons": [itself, second]}
        alone = ComparisonSpec.model_validate(self.spec.model_dump() | pairs)
        found = self.steered(alone)
        assert [setting.comparison for setting in alone.settings] == [2, 2]
        assert found.under(alone.settings[1]).dial.index.tolist() == [2, 3]

    def test_the_level_is_that_of_the_comparison(self):
        assert self.found().level == 64
        levels = [
            item | {"matched_l0": [l0]}
            for item, l0 in zip(self.comparisons, (8.0, 9.0), strict=True)
        ]
        other = ComparisonSpec.model_validate(self.spec.model_dump() | {"comparisons": levels})
        found = replace(self.found(), spec=other)
        assert [found.level, *(found.under(one).level for one in other.settings[:2])] == [8, 8, 9]


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


class TestContrasts:
    rows = (
        row("tying", "sagsae_tied", "sagsae"),
        row("ablation", "sagsae_tied", "sagsae_noaux"),
        row("ablation", "sagsae_sym", "sagsae_noaux"),
        row("ablation", "sagsae_sym", "sagsae_onesided"),
        row("width", "sagsae_tied", "sagsae_tied"),
        row("width", "gated", "gated"),
        row("tying", "sagsae_sym", "sagsae_sym"),
    )

    def test_the_first_candidate_that_is_there_is_taken(self):
        found = evidence(contrasts=list(self.rows))
        both = ("sagsae_sym", "sagsae_tied")
        assert found.contrast("ablation", both, "sagsae_noaux").index.tolist() == [2]
        assert found.contrast("ablation", both[::-1], "sagsae_noaux").index.tolist() == [1]
        assert found.contrast("ablation", ("sagsae", *both), "sagsae_onesided").index.tolist() == [
            3
        ]
        assert found.contrast("tying", both, "sagsae").index.tolist() == [0]

    def test_none_is_an_empty_table_with_the_same_columns(self):
        found = evidence(contrasts=list(self.rows)).contrast("ablation", ("gated",), "sagsae")
        assert found.empty
        assert list(found) == ["kind", "candidate_variant", "baseline_variant", "recipe"]

    def test_widths_are_those_of_sign_aware_variants(self):
        assert evidence(contrasts=list(self.rows)).widths.index.tolist() == [4]


def test_the_candidate_is_found_by_all_that_names_a_sweep():
    found = evidence(pair(), pair("large", "resid", candidate_width=192, baseline_width=384))
    keys = [
        ("small", "mlp_out", "sagsae_tied", 128),
        ("large", "mlp_out", "sagsae_tied", 128),
        ("small", "attn", "sagsae_tied", 128),
        ("small", "mlp_out", "gated", 128),
        ("small", "mlp_out", "sagsae_tied", 256),
        ("large", "resid", "sagsae_tied", 192),
    ]
    table = pd.DataFrame(keys, columns=["model", "hookpoint", "variant", "width"])
    assert found.candidate_only(table).index.tolist() == [0, 5]
    assert place(found.main.iloc[1]) == "large resid"


def test_an_error_is_over_seeds_each_averaged_first():
    cells = pd.DataFrame({"seed": [0, 0, 1], "r2": [0.1, 0.2, 0.5], "l0": [9.0, 9.0, 9.0]})
    found = over_seeds(cells, "r2")
    assert found.mean == pytest.approx(0.8 / 3)
    assert found.se == pytest.approx((0.5 - 0.15) / math.sqrt(2) / math.sqrt(2))
    assert over_seeds(cells[:2], "r2").se is None


def test_an_estimate_shows_its_error_or_that_it_has_none():
    assert format_estimate(Estimate(mean=0.27, se=None)) == "0.270 (one seed)"
    assert format_estimate(Estimate(mean=0.27, se=0.0123)) == "0.270 ± 0.012"


def test_the_main_comparison_is_looked_for_once():
    found = evidence()
    assert found.main is found.main
    assert replace(found, comparison=found.comparison[:0]).main.empty
