"""Tables of a study of several families, from made-up metrics whose ranks are known."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest

from pipeline.analysis.figure import figures_of
from pipeline.analysis.tables.ranking import summary_table
from pipeline.study.study import Study
from sagsae.autoencoders.registry import VARIANTS
from sagsae.files import write_atomic
from tests.helpers.made_studies import KS, families_config, made_families
from tests.helpers.made_studies import LIFT_OF_FAMILIES as LIFT
from tests.helpers.made_studies import TWO_SIDES as LEAD
from tests.helpers.made_study import MadeStudy

SD = 0.002
"""Standard deviation over the seeds of the one sweep that has three."""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> MadeStudy:
    return made_families(tmp_path_factory.mktemp("families"), probe={"models": ["small"]})


def at(rows: pd.DataFrame, recipe: str, model: str, hookpoint: str) -> pd.DataFrame:
    place = (rows["recipe"] == recipe) & (rows["model"] == model)
    return rows[place & (rows["hookpoint"] == hookpoint)]


def test_each_row_has_one_of_lambda_and_k(made):
    rows = made.table("points")
    assert (rows["k"].notna() == rows["variant"].str.contains("topk")).all()
    assert (rows["lam"].isna() ^ rows["k"].isna()).all()
    assert set(rows["k"].dropna()) <= set(KS)
    assert list(rows.columns).index("k") == list(rows.columns).index("lam") + 1


def test_comparisons_follow_the_frontiers(made):
    rows = at(made.table("comparison"), "matched", "large", "mlp_out")
    rows = rows.set_index(["candidate_variant", "baseline_variant"])
    row = rows.loc[("abstopk", "topk")]
    assert row["mean_gap"] == pytest.approx(LEAD)
    assert str(row["dominates"]) == "True"
    assert (row["overlap_lo"], row["overlap_hi"]) == pytest.approx((16, 128))
    beside = rows.loc[("sagsae_tied", "topk"), "mean_gap"]  # lambdas against ks
    assert beside == pytest.approx(LEAD - LIFT["topk"])


def test_ranks_and_what_the_seeds_allow(made):
    rows = at(made.table("ranking"), "matched", "small", "mlp_out")
    rows = rows[rows["l0"] == 48].set_index("variant")
    assert rows.index.tolist() == [
        *("absbatchtopk", "batchtopk", "abstopk", "topk", "sagsae_tied", "gated"),
    ]
    assert rows["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    # BatchTopK and AbsTopK differ by 0.005, with 4 degrees of freedom 2.78 sqrt(2) 0.002 = 0.0079.
    # TopK and SA-GSAE differ by 0.007, with 3.2 degrees of freedom 3.07 sqrt(4/3) 0.002 = 0.0071.
    assert rows["best_rank"].tolist() == [1, 2, 2, 4, 4, 6]
    assert rows["worst_rank"].tolist() == [1, 3, 3, 5, 5, 6]
    assert (rows["of"] == 6).all()
    base = 0.6 + 0.1 * math.log(48 / 80)
    expected = [0.04 + LEAD, 0.04, 0.02 + LEAD, 0.02 + SD, LEAD, 0.0]
    assert rows["r2"].tolist() == pytest.approx([base + lift for lift in expected])
    assert rows["seeds"].tolist() == [1, 1, 1, 3, 1, 1]
    assert rows.loc["topk", "error_from"] == "own seeds"
    assert set(rows["error_from"].drop("topk")) == {"pooled from 1 sweep"}
    errors = [SD, SD, SD, SD / math.sqrt(3), SD, SD]
    assert rows["r2_se"].tolist() == pytest.approx(errors)
    two = rows["sides"] == 2
    assert two.tolist() == [True, False] * 3
    recovered = 0.8 + 0.02 * math.log(48) + 0.05 * two
    assert rows["loss_recovered"].tolist() == pytest.approx(recovered.tolist())
    assert rows["dead_fraction"].tolist() == pytest.approx([1 / 128, 1 / 8] * 3)
    assert rows["family"].tolist() == ["batchtopk", "batchtopk", "topk", "topk", "gated", "gated"]
    assert rows["width"].tolist() == [128, 256] * 3
    assert rows["parameters"].tolist() == [(2 * 64 + 3) * w + 64 for w in rows["width"]]
    assert (rows["tokens_per_second"] == 14900).all()


def test_a_sweep_that_does_not_reach_the_l0_says_so(made):
    rows = at(made.table("ranking"), "matched", "large", "mlp_out")
    rows = rows[rows["l0"] == 140]
    ranked = rows[rows["rank"].notna()]
    assert ranked["variant"].tolist() == ["sagsae_tied", "gated"]
    rest = rows[rows["rank"].isna()]
    assert len(rest) == 4
    assert set(rest["rank_reason"]) == {"its L0 is 16.0 to 128, not 140"}
    measured = ["r2", "r2_se", "loss_recovered", "dead_fraction", "best_rank", "seeds"]
    assert rest[measured].isna().all(axis=None)
    assert (ranked["rank_reason"] == "").all()


def test_probes_enter_at_the_fewest_sides(made):
    rows = made.table("ranking")
    rows = rows[(rows["l0"] == 48) & (rows["recipe"] == "matched")].set_index("variant")
    assert "accuracy_5" not in rows
    small = rows[(rows["model"] == "small") & (rows["hookpoint"] == "resid")]
    at48 = 0.5 + 0.02 * math.log(48) + 0.05 / 3
    for variant, row in small.iterrows():
        assert row["accuracy_1"] == pytest.approx(at48 + 0.1 * (variant != "gated"))
        lo, hi = (40, 80) if VARIANTS[variant].knob == "lam" else (16, 64)
        share = math.log(48 / lo) / math.log(hi / lo)
        assert row["absorption"] == pytest.approx((1 - share) / lo + share / hi)
    large = rows[rows["model"] == "large"]
    assert large[["accuracy_1", "absorption"]].isna().all(axis=None)


def test_mean_ranks_are_over_pairs(made):
    ranks = made.table("ranking")
    rows = made.table("ranking_summary")
    rows = rows[(rows["l0"] == 48) & (rows["recipe"] == "matched")].set_index("variant")
    asked = ranks[(ranks["l0"] == 48) & (ranks["recipe"] == "matched")]
    for variant, own in asked.groupby("variant"):
        assert rows.loc[variant, "mean_rank"] == pytest.approx(own["rank"].mean())
        assert rows.loc[variant, "first"] == (own["rank"] == 1).sum()
        assert rows.loc[variant, "pairs"] == 4
    assert rows["mean_rank"].is_monotonic_increasing
    assert rows.loc["absbatchtopk", "first"] == 3  # behind at large resid
    assert rows.loc["absbatchtopk", "series"] == "AbsBatchTopK, H = 128 / 192"
    others = made.table("ranking_summary")
    others = others[(others["l0"] == 140) & (others["variant"] == "topk")]
    assert others[["pairs", "unranked"]].to_numpy().tolist() == [[0, 4]] * 2
    assert others[["mean_rank", "first", "of"]].isna().all(axis=None)


def test_mean_ranks_are_of_the_same_sweeps_at_the_same_pairs():
    """A sweep that one pair ranks has no mean, and moves the ranks of no other."""
    places = [("small", "resid"), ("large", "resid")]
    r2 = {"A": (0.9, 0.7), "B": (0.8, 0.8), "C": (0.85, None)}
    rows = [
        {"recipe": "", "l0": 64.0, "model": model, "hookpoint": hookpoint, "series": name}
        | {"variant": name, "r2": values[i], "rank": None if values[i] is None else 1}
        for i, (model, hookpoint) in enumerate(places)
        for name, values in r2.items()
    ]
    found = summary_table(pd.DataFrame(rows).astype({"rank": "Int64"})).set_index("series")
    assert found["mean_rank"].dropna().to_dict() == {"A": 1.5, "B": 1.5}
    assert found["of"].dropna().to_dict() == {"A": 2, "B": 2}
    assert found.loc["C", ["pairs", "unranked"]].tolist() == [1, 1]


def test_who_is_above_dominates(made):
    here = at(made.table("dominance"), "matched", "small", "resid")
    assert len(here) == 6 * 5
    lift = {
        name: LIFT[VARIANTS[name].stem or name] + LEAD * (VARIANTS[name].sides == 2)
        for name in here["variant"]
    }
    for row in here.to_dict("records"):
        gap = lift[row["variant"]] - lift[row["against_variant"]]
        assert row["outcome"] == ("yes" if gap > 0 else "no")
        assert row["mean_gap"] == pytest.approx(gap)
    assert here["variant"].drop_duplicates().tolist() == [
        name for name in VARIANTS if name in set(here["variant"])
    ]


def test_the_last_line_of_sides_is_over_pairs(made):
    rows = made.table("sides")
    rows = rows[(rows["l0"] == 48) & (rows["recipe"] == "matched")]
    assert rows["family"].drop_duplicates().tolist() == ["gated", "topk", "batchtopk"]
    for variant, own in rows.groupby("variant"):
        *each, over = own.to_dict("records")
        assert [row["model"] for row in each] == ["large", "large", "small", "small"]
        assert over["model"] == over["hookpoint"] == ""
        found = [row["r2_difference"] for row in each]
        assert over["r2_difference"] == pytest.approx(np.mean(found))
        assert (over["pairs"], over["positive"]) == (4, 3)
        assert over["min_gap"] == min(row["min_gap"] for row in each)
        outcomes = {row["hookpoint"]: row["outcome"] for row in each if row["model"] == "large"}
        assert outcomes == {"mlp_out": "two-sided", "resid": "one-sided"}, variant
        assert over["outcome"] == "two-sided 3, one-sided 1"
    whole = made.table("sides")
    outside = whole[(whole["l0"] == 140) & (whole["variant"] == "abstopk") & (whole["model"] != "")]
    assert outside["l0_reason"].str.contains("L0 = 140 is outside the overlap 16 to 128").all()
    paper = whole[whole["recipe"] == "paper"]
    assert set(paper["variant"]) == {"abstopk", "absbatchtopk"}  # Gated is trained under matched


def test_claims_are_judged_under_recipes_that_train_a_variant_of_the_paper(made, tmp_path):
    """Under paper neither Gated nor SA-GSAE is trained; a study without either has one setting.
    Other claims are judged under each recipe."""
    assert [setting.recipe for setting in made.scope.settings] == ["matched"]
    claims = made.table("claims")
    assert set(claims["recipe"]) == {"matched"}
    assert not claims["claim"].duplicated().any()
    sparse = {"expansion": 4, "ks": [16, 64], "recipes": ["matched", "paper"]}
    without = families_config(tmp_path, grid=[{"variant": "topk"} | sparse], comparisons=[])
    assert [setting.recipe for setting in Study.from_dict(without).scope.settings] == ["matched"]
    own = Study.from_dict(without | {"claims": "tests.pipeline"}).scope
    assert [setting.recipe for setting in own.settings] == ["matched", "paper"]


def test_a_study_that_names_no_claims_has_none_anywhere(tmp_path):
    def others(blocks):
        return [block for block in blocks if "topk" in str(block)]

    raw = families_config(tmp_path)
    comparisons = [one for one in others(raw["comparisons"]) if "sagsae" not in str(one)]
    made = made_families(tmp_path, grid=others(raw["grid"]), comparisons=comparisons, claims="")
    assert not [path.name for path in (made.root / "tables").glob("claims*")]
    for name in figures_of(made.scope):
        write_atomic(made.root / "figures" / f"{name}.svg", b"")
    page = made.report()
    assert re.findall("<figcaption><b>([^,.]+)", page) == ["R² against L0"]  # the first screen
    assert re.search("<summary>All frontiers.*</summary>", page)
    assert "Claims" not in re.sub("<[^>]+>", "", page.partition("What this study cannot say")[0])
