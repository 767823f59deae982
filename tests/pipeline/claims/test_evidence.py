"""What claims are judged by: which rows count as the main comparison, and words for numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from pipeline.claims.evidence import (
    CAPTION,
    FAILS,
    HOLDS,
    OPEN,
    V1,
    V2,
    Evidence,
    Number,
    Untestable,
    Verdict,
    claim,
    decided,
    format_estimate,
    needed,
    over_seeds,
    place,
)
from sagsae.sweeps import Estimate
from tests.pipeline.claims.made_tables import evidence, pair, spec


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
    assert (HOLDS, FAILS, OPEN) == ("holds", "does not hold", "not testable")
    assert (V1, V2, CAPTION) == ("abstract, v1", "abstract, v2", "captions")


def test_rows_are_needed():
    rows = pd.DataFrame({"a": [1]})
    assert needed(rows, "none") is rows
    with pytest.raises(Untestable, match="nothing there"):
        needed(rows.iloc[:0], "nothing there")


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
    assert found.dial is None
    pd.DataFrame({"comparison": [6]}).to_csv(tmp_path / "dial.csv", index=False)
    assert Evidence.read(spec(), tmp_path, None).dial is None  # of an earlier configuration
    assert Evidence.read(spec(dial=True), tmp_path, None).dial["comparison"].tolist() == [6]


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
        assert found.no_main == (
            "no comparison of a sign-aware variant with Gated of twice its width"
        )

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
        assert evidence(pair(), apart).no_main == "they do not meet"

    def test_the_rest_is_where_it_does_not_dominate(self):
        some = evidence(pair(), pair(hookpoint="attn", dominates=False))
        assert some.rest["hookpoint"].tolist() == ["attn"]
        with pytest.raises(Untestable, match=r"^it strictly dominates on every pair compared"):
            _ = evidence(pair()).rest


def row(kind: str, candidate: str, baseline: str, **values) -> dict:
    return {"kind": kind, "candidate_variant": candidate, "baseline_variant": baseline} | values


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
