"""Tables of a study of several families, from made-up metrics whose ranks are known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.jobs.json_files import write_json
from pipeline.report.environment import installed
from pipeline.report.publish import publish
from pipeline.report.rebuild import rebuild
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.outputs import CONFIGURATION, ENVIRONMENT, RANKING_TABLES, REPORT
from pipeline.study.study import Study
from pipeline.tables.ranking import summary_table
from pipeline.tables.ranking_text import NO_ERROR, RANKS, TWO_SIDES
from pipeline.text.csv_files import read_table
from sagsae.autoencoders.registry import VARIANTS
from tests.pipeline.conftest import MadeStudy
from tests.pipeline.made_families import (
    LIFT,
    families_config,
    made_families,
    make_families,
    table,
)
from tests.pipeline.made_families import (
    TWO_SIDES as LEAD,
)
from tests.pipeline.made_grid import configuration

SD = 0.002
"""Standard deviation over the seeds of the one sweep that has three."""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> MadeStudy:
    return made_families(tmp_path_factory.mktemp("families"), probe={"models": ["small"]})


def at(rows: pd.DataFrame, recipe: str, model: str, hookpoint: str) -> pd.DataFrame:
    place = (rows["recipe"] == recipe) & (rows["model"] == model)
    return rows[place & (rows["hookpoint"] == hookpoint)]


def test_ranks_and_what_the_seeds_allow(made):
    rows = at(table(made, "ranking"), "matched", "small", "mlp_out")
    rows = rows[rows["l0"] == 48].set_index("variant")
    assert rows.index.tolist() == [
        *("absbatchtopk", "batchtopk", "abstopk", "topk", "sagsae_tied", "gated"),
    ]
    assert rows["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    # BatchTopK and AbsTopK differ by 0.005, less than 2 sqrt(2) 0.002; all others by more.
    assert rows["best_rank"].tolist() == [1, 2, 2, 4, 5, 6]
    assert rows["worst_rank"].tolist() == [1, 3, 3, 4, 5, 6]
    assert (rows["of"] == 6).all()
    base = 0.6 + 0.1 * math.log(48 / 80)
    expected = [0.04 + LEAD, 0.04, 0.02 + LEAD, 0.02 + SD, LEAD, 0.0]
    assert rows["r2"].tolist() == pytest.approx([base + lift for lift in expected])
    assert rows["seeds"].tolist() == [1, 1, 1, 3, 1, 1]
    assert rows.loc["topk", "error_from"] == "own seeds"
    assert set(rows["error_from"].drop("topk")) == {"pooled from 1 sweep"}
    errors = [SD, SD, SD, SD / math.sqrt(3), SD, SD]
    assert rows["r2_se"].tolist() == pytest.approx(errors)
    assert rows["loss_recovered"].tolist() == pytest.approx(
        [0.8 + 0.02 * math.log(48) + 0.05 * (sides == 2) for sides in rows["sides"]]
    )
    assert rows["dead_fraction"].tolist() == pytest.approx(
        [1 / 128 if sides == 2 else 1 / 8 for sides in rows["sides"]]
    )
    assert rows["family"].tolist() == ["batchtopk", "batchtopk", "topk", "topk", "gated", "gated"]
    assert rows["sides"].tolist() == [2, 1, 2, 1, 2, 1]
    width = {1: 256, 2: 128}
    assert rows["width"].tolist() == [width[sides] for sides in rows["sides"]]
    assert rows["parameters"].tolist() == [(2 * 64 + 3) * w + 64 for w in rows["width"]]
    assert (rows["tokens_per_second"] == 14900).all()


def test_the_spread_is_that_of_the_recipe_at_every_place(made):
    """Under the other recipe none has several seeds; what stands beside it keeps its own."""
    rows = table(made, "ranking")
    rows = rows[rows["l0"] == 48]
    matched, paper = (at(rows, recipe, "large", "resid") for recipe in ("matched", "paper"))
    assert matched["r2_se"].tolist() == pytest.approx([SD] * 6)
    own = paper["home_recipe"] == "paper"
    assert set(paper.loc[~own, "variant"]) == {"gated", "sagsae_tied"}
    assert paper.loc[own, ["r2_se", "best_rank", "worst_rank"]].isna().all(axis=None)
    assert paper.loc[~own, "r2_se"].tolist() == pytest.approx([SD] * 2)
    gated = paper.set_index("variant").loc["gated"]
    assert (gated["rank"], gated["best_rank"], gated["worst_rank"]) == (1, 1, 5)
    # It is told apart from SA-GSAE, whose error is known as well, and from no other.


def test_a_sweep_that_does_not_reach_the_l0_says_so(made):
    rows = at(table(made, "ranking"), "matched", "large", "mlp_out")
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
    rows = table(made, "ranking")
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
    ranks = table(made, "ranking")
    rows = table(made, "ranking_summary")
    rows = rows[(rows["l0"] == 48) & (rows["recipe"] == "matched")].set_index("variant")
    asked = ranks[(ranks["l0"] == 48) & (ranks["recipe"] == "matched")]
    for variant, own in asked.groupby("variant"):
        assert rows.loc[variant, "mean_rank"] == pytest.approx(own["rank"].mean())
        assert rows.loc[variant, "first"] == (own["rank"] == 1).sum()
        assert rows.loc[variant, "pairs"] == 4
    assert rows["mean_rank"].is_monotonic_increasing
    assert rows.loc["absbatchtopk", "first"] == 3  # behind at large resid
    assert rows.loc["absbatchtopk", "low"] == 1
    assert rows.loc["absbatchtopk", "series"] == "AbsBatchTopK, H = 128 / 192"
    others = table(made, "ranking_summary")
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


def test_dominance_is_that_of_comparison_csv(made):
    rows = table(made, "dominance")
    compared = table(made, "comparison")
    assert len(compared)
    words = {True: "yes", False: "no"}
    for _, row in compared.iterrows():
        here = at(rows, row["recipe"], row["model"], row["hookpoint"])
        one = here[
            (here["variant"] == row["candidate_variant"])
            & (here["against_variant"] == row["baseline_variant"])
        ]
        (found,) = one.to_dict("records")
        assert found["outcome"] == words[bool(row["dominates"])]
        for name in ("min_gap", "mean_gap", "overlap_lo", "overlap_hi"):
            assert found[name] == row[name], name
    here = at(rows, "matched", "small", "resid")
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


def test_sides_agree_with_comparison_csv(made):
    rows, compared = table(made, "sides"), table(made, "comparison")
    pairs = compared[compared["candidate_variant"] == "abstopk"]
    for _, row in pairs.iterrows():
        here = at(rows, row["recipe"], row["model"], row["hookpoint"])
        (found,) = here[(here["variant"] == "abstopk") & (here["l0"] == 48)].to_dict("records")
        gap = row["l0_48_r2_candidate"] - row["l0_48_r2_baseline"]
        assert found["r2_difference"] == pytest.approx(gap, abs=1e-11)
        assert found["loss_recovered_difference"] == pytest.approx(0.05)
        assert found["dead_candidate"] == row["l0_48_dead_fraction_candidate"]
        assert found["dead_baseline"] == row["l0_48_dead_fraction_baseline"]
        assert (found["min_gap"], found["mean_gap"]) == (row["min_gap"], row["mean_gap"])
        assert (found["width"], found["baseline_width"]) == (
            row["candidate_width"],
            row["baseline_width"],
        )
    outside = rows[(rows["l0"] == 140) & (rows["variant"] == "abstopk") & (rows["model"] != "")]
    assert outside["r2_difference"].isna().all()
    assert outside["l0_reason"].str.contains("L0 = 140 is outside the overlap 16 to 128").all()


def test_the_last_line_of_sides_is_over_pairs(made):
    rows = table(made, "sides")
    rows = rows[(rows["l0"] == 48) & (rows["recipe"] == "matched")]
    assert rows["family"].drop_duplicates().tolist() == ["gated", "topk", "batchtopk"]
    for variant, own in rows.groupby("variant"):
        *each, over = own.to_dict("records")
        assert [row["model"] for row in each] == ["large", "large", "small", "small"]
        assert over["model"] == over["hookpoint"] == ""
        found = [row["r2_difference"] for row in each]
        assert over["r2_difference"] == pytest.approx(np.mean(found))
        assert (over["pairs"], over["positive"]) == (4, 3)
        assert np.isnan(over["sign_p"])
        assert over["min_gap"] == min(row["min_gap"] for row in each)
        outcomes = {row["hookpoint"]: row["outcome"] for row in each if row["model"] == "large"}
        assert outcomes == {"mlp_out": "two-sided", "resid": "one-sided"}, variant
        assert over["outcome"] == "two-sided 3, one-sided 1"
    paper = table(made, "sides")
    paper = paper[paper["recipe"] == "paper"]
    assert set(paper["variant"]) == {"abstopk", "absbatchtopk"}  # Gated is trained under matched


def test_a_recipe_repeats_no_comparison_of_another(made):
    """Gated and SA-GSAE tied are trained under matched alone."""
    rows, both = table(made, "comparison"), {"matched", "paper"}
    under = {number: set(own["recipe"]) for number, own in rows.groupby("comparison")}
    assert under == {1: {"matched"}, 2: both, 3: both}
    assert not rows.duplicated(["comparison", "recipe", "model", "hookpoint"]).any()
    figures = set(made.spec["figures"])
    assert figures >= {
        "figure_r2@matched",
        "figure_r2_variants@matched",
        "figure_r2_variants@paper",
    }
    assert "figure_r2@paper" not in figures


def test_claims_are_judged_under_recipes_that_train_a_variant_of_the_paper(made, tmp_path):
    """Under paper neither Gated nor SA-GSAE is trained; a study without either has one setting."""
    assert [setting.recipe for setting in ComparisonSpec.model_validate(made.spec).settings] == [
        "matched"
    ]
    claims = table(made, "claims")
    assert set(claims["recipe"]) == {"matched"}
    assert not claims["claim"].duplicated().any()
    sparse = {"expansion": 4, "ks": [16, 64], "recipes": ["matched", "paper"]}
    without = families_config(tmp_path, grid=[{"variant": "topk"} | sparse], comparisons=[])
    assert [setting.recipe for setting in Study.from_dict(without).compared.settings] == ["matched"]


def test_six_pairs_have_a_sign_test(tmp_path):
    made = made_families(tmp_path, hookpoints=["mlp_out", "attn", "resid"])
    over = table(made, "sides")
    over = over[(over["model"] == "") & (over["l0"] == 48)]
    assert (over["pairs"] == 6).all()
    assert (over["positive"] == 5).all()
    assert over["sign_p"].tolist() == [14 / 64] * len(over)
    assert "p = 0.22" in (made.root / "tables" / "sides.md").read_text()


def test_the_page_of_sides_leaves_out_forms_that_no_pair_reads(made):
    page = (made.root / "tables" / "sides.md").read_text()
    rows = table(made, "sides")
    rows = rows[rows["l0"] == 140]
    for recipe, own in rows.groupby("recipe"):
        _, _, after = page.partition(f"Two sides against one at L0 = 140, recipe {recipe}\n")
        shown, read = after.partition("###")[0], own.groupby("series")["r2_difference"].count() > 0
        assert [f"| {series} " in shown for series in read.index] == read.tolist()
        assert (f"recipe {recipe} there is no row of" in page) != read.all()
    assert rows["r2_difference"].isna().any()


def test_widths_of_a_form_are_not_mixed(tmp_path):
    """Each has a line over pairs of its own."""
    knob = {"lambdas": [0.05, 0.2]}
    grid = [{"variant": "sagsae_tied", "expansion": width} | knob for width in (1, 2)]
    grid += [{"variant": "gated", "expansion": width} | knob for width in (2, 4)]
    grid.append({"variant": "topk", "expansion": 4, "ks": [16, 64]})
    made = made_families(tmp_path, grid=grid, comparisons=[], recipes={})
    rows = table(made, "sides")
    over = rows[rows["model"] == ""]
    assert over["series"].tolist() == [f"SA-GSAE tied, H = {h}" for h in ("64 / 96", "128 / 192")]
    assert (over["pairs"] == 4).all()
    each = rows[rows["model"] != ""]
    assert (each["baseline_width"] == 2 * each["width"]).all()


def test_a_study_of_several_seeds(tmp_path):
    """Errors are those of comparison.csv, and gaps are those of the means over seeds."""
    seeds = {"seeds": [0, 1, 2]}
    grid = [
        {"variant": "sagsae_tied", "expansion": 2, "lambdas": [0.05, 0.2]} | seeds,
        {"variant": "gated", "expansion": 4, "lambdas": [0.05, 0.2]} | seeds,
        {"variant": "topk", "expansion": 4, "ks": [16, 64]} | seeds,
    ]
    sides = {"candidate": grid[0], "baseline": grid[1]}
    named = {side: {k: v[k] for k in ("variant", "expansion")} for side, v in sides.items()}
    made = made_families(
        tmp_path, grid=grid, comparisons=[named | {"matched_l0": [48]}], recipes={}
    )
    ranks, compared = table(made, "ranking"), table(made, "comparison")
    assert (ranks["error_from"] == "own seeds").all()
    for _, row in compared.iterrows():
        here = at(ranks, "", row["model"], row["hookpoint"]).set_index("variant")
        for side, variant in (("candidate", "sagsae_tied"), ("baseline", "gated")):
            assert here.loc[variant, "r2"] == row[f"l0_48_r2_{side}"]
            assert here.loc[variant, "r2_se"] == row[f"l0_48_r2_{side}_se"]
    small = at(table(made, "dominance"), "", "small", "resid").set_index(
        ["variant", "against_variant"]
    )
    assert small.loc[("topk", "gated"), "outcome"] == "yes"
    assert small.loc[("topk", "gated"), "mean_gap"] == pytest.approx(LIFT["topk"])


def test_pages_say_how_ranks_are_made(made):
    folder = made.root / "tables"
    page = (folder / "ranking.md").read_text()
    assert RANKS in page
    assert NO_ERROR in page
    assert "### Mean ranks at L0 = 48, recipe matched" in page
    assert "### large, resid, at L0 = 140, recipe paper" in page
    (line,) = [
        line
        for line in page.partition("### small, mlp_out, at L0 = 48, recipe matched")[2].split("\n")
        if line.startswith("| AbsTopK")
    ][:1]
    cells = [text.strip() for text in line.strip("|").split("|")]
    assert cells[:5] == ["AbsTopK, H = 128 / 192", "3", "2 to 3", "2", "0.584 ± 0.002"]
    assert cells[-1] == "1 seed; error pooled from 1 sweep"
    counts = (folder / "dominance.md").read_text()
    assert "Pairs on which the row strictly dominates the column, recipe matched" in counts
    assert "yes +0.015" in counts
    assert TWO_SIDES in (folder / "sides.md").read_text()
    for name in RANKING_TABLES:
        text = (folder / name).read_text()
        assert name.endswith("csv") or "nan" not in text.lower(), name
        assert not name.endswith("tex") or r"\begin{table}" in text


def test_sweeps_without_a_shared_range(tmp_path):
    ks = {"ks": [128, 256]}
    grid = [
        {"variant": "topk", "expansion": 4} | ks,
        {"variant": "gated", "expansion": 4, "lambdas": [0.1, 0.2]},
        {"variant": "sagsae_tied", "expansion": 2, "lambdas": [0.1, 0.2]},
    ]
    made = made_families(tmp_path, grid=grid, comparisons=[], recipes={})
    rows = table(made, "dominance")
    assert set(rows.loc[rows["against_variant"] == "topk", "outcome"]) == {"no shared range"}
    assert "no shared range" in (made.root / "tables" / "dominance.md").read_text()
    ranks = table(made, "ranking")
    assert set(ranks["l0"]) == {64}
    assert ranks["r2_se"].isna().all()
    reasons = ranks.loc[ranks["variant"] == "topk", "rank_reason"]
    assert set(reasons) == {"its L0 is 128 to 256, not 64"}
    assert ranks.loc[ranks["variant"] != "topk", "rank"].notna().all()


def test_one_family_has_none_of_it(tmp_path, built_study):
    study = Study.from_dict(configuration())
    assert study.compared.families == ["gated"]
    assert study.ranking_tables == ()
    assert not [name for name in study.figures if "frontiers" in name]
    several = Study.from_dict(families_config(tmp_path))
    assert several.compared.families == ["gated", "topk", "batchtopk"]
    assert several.ranking_tables == RANKING_TABLES
    names = ["figure_frontiers@matched", "figure_frontiers@paper"]
    assert [name for name in several.figures if "frontiers" in name] == names
    assert "All against all" not in (built_study.root / REPORT).read_text()


def test_what_is_not_registered_is_of_no_family():
    cells = ["m/resid/gated/w8_lam0.1_seed0", "m/resid/their_package:Class/w8_lam0.1_seed0"]
    given = {"comparisons": [], "models": {"m": 4}, "hookpoints": ["resid"]}
    spec = ComparisonSpec.argument(json.dumps(given | {"cells": cells}))
    assert spec.families == ["gated"]
    assert not spec.several_families


@pytest.mark.slow
@pytest.mark.usefixtures("warm_jobs")
def test_the_workflow_makes_and_publishes_all_of_it(tmp_path):
    """Rules, further formats, figure, report, and the same bytes again from what is kept."""
    probe = {"models": ["small"], "recipes": ["matched"]}
    formats = {"tables": ["parquet", "latex"], "figures": ["svg", "pdf"]}
    extra = {"formats": formats, "probe": probe, "hookpoints": ["mlp_out"]}
    study = make_families(tmp_path / "results", **extra)
    root, kept = Path(study.root), tmp_path / "kept"
    write_json(root / CONFIGURATION, study.config.model_dump())
    write_json(root / ENVIRONMENT, {"versions": installed()})
    rebuild(root, root)
    for name in RANKING_TABLES:
        assert (root / "tables" / name).stat().st_size > 100, name
    for name in ("ranking", "ranking_summary", "dominance", "sides"):
        found = pd.read_parquet(root / "tables" / f"{name}.parquet")
        assert len(found) == len(read_table(root / "tables" / f"{name}.csv"))
    for recipe in ("matched", "paper"):
        for end in ("png", "svg", "pdf", "csv"):
            assert (root / "figures" / f"figure_frontiers@{recipe}.{end}").stat().st_size > 1000
    assert read_table(root / "tables" / "ranking.csv")["accuracy_1"].notna().any()
    report = (root / REPORT).read_text()
    order = ["All against all", "Claims of the paper", "How it was done"]
    places = [report.index(f"<h2>{title}</h2>") for title in order]
    assert places == sorted(places)
    section = report[places[0] : places[1]]
    assert report[: places[0]].count("<b>All frontiers, recipe") == 2
    assert report.count("<b>All frontiers") == 2
    for text in ("Mean ranks at L0 = 48", "Two sides against one", "strictly dominates the column"):
        assert section.count(text) >= 2, text
    publish(study, kept)  # which refuses what does not follow from the metrics
    for name in RANKING_TABLES:
        assert (kept / "tables" / name).read_bytes() == (root / "tables" / name).read_bytes()


def test_cells_with_a_k_are_probed_like_others(made):
    """Their k is not the number of sides, and each is a row of its own."""
    probing, absorption = table(made, "probing"), table(made, "absorption")
    for rows in (probing, absorption):
        sparse = rows["variant"].map(lambda name: VARIANTS[name].knob == "k")
        assert (rows["cell_k"].notna() == sparse).all()
        assert (rows["lam"].isna() == sparse).all()
        assert set(rows.loc[sparse, "cell_k"]) == {16, 64, 128}
    assert set(probing["k"]) == {1, 5}
    text = (made.root / "tables" / "absorption.csv").read_text()
    assert ",topk,256,,64,0,64," in text
    page = (made.root / "tables" / "probing.md").read_text()
    lines = [line for line in page.splitlines() if "TopK, H = 256" in line]
    assert len(lines) == 2 * 2 * 2 * 2  # two variants, places, recipes and tables
    at48 = 0.5 + 0.02 * math.log(48) + 0.05 / 3 + 0.1
    assert f"{at48:.3f}" in lines[0]
    for name in ("figure_probing@matched", "figure_absorption@paper"):
        numbers = read_table(made.figure(name).with_suffix(".csv"))
        own = numbers[(numbers["variant"] == "topk") & (numbers["hookpoint"] == "resid")]
        expected = {"figure_probing@matched": [64, 64], "figure_absorption@paper": [16, 64, 128]}
        assert own["cell_k"].tolist() == expected[name]
        assert own["lam"].isna().all()
        assert numbers.loc[numbers["variant"] == "gated", "cell_k"].isna().all()
