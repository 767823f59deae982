"""The report: its answer, and the limits of a study."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.analysis.report import answer, first_figure, first_setting, headline, judged, limits
from pipeline.analysis.tables.cells import POINTS
from pipeline.analysis.tables.comparison import COMPARISON
from pipeline.analysis.tables.ranking import RANKING
from tests.pipeline.claims.sa_gsae.made_tables import spec

SIDES = ("candidate", "baseline")


def cells(*sweeps) -> pd.DataFrame:
    """Cells of (variant, width, lambdas, seeds) at one hookpoint of a model with d = 64."""
    return pd.DataFrame(
        {
            "model": "small",
            "hookpoint": "attn",
            "variant": variant,
            "recipe": "",
            "width": width,
            "d_model": 64,
            "lam": lam,
            "seed": seed,
            "training_tokens": 819200 + 1000 * seed,
            "eval_tokens": 8192,
            "ce_tokens": 1016 + lam,
        }
        for variant, width, lambdas, seeds in sweeps
        for lam in lambdas
        for seed in range(seeds)
    )


def test_sites_budget_and_the_fewest_seeds_of_any_point():
    three = ("sagsae_tied", 128, (1, 2), 3)
    sites, budget, seeds = limits(spec(), cells(three))[:3]
    assert sites.startswith(
        "Hookpoints: mlp_out, attn, resid at one layer of small (d = 64) and large"
    )
    assert budget.startswith("Budget: 819,200 to 821,200 training tokens and 8,192 evaluation")
    assert seeds == "Seeds per point: at least 3 for SA-GSAE tied at H = 2d."
    uneven = cells(three, ("sagsae_tied", 128, (3,), 2), ("gated", 256, (1,), 2))
    assert limits(spec(), uneven)[2] == (
        "Seeds per point: at least 2 for Gated at H = 4d, 2 for SA-GSAE tied at H = 2d."
    )


DRAWS = "P(first higher at every L0)"


def compared(**known: object) -> pd.DataFrame:
    """A row of the first comparison at one place, and one of the second."""
    at = f"l0_{spec().comparisons[0].matched_l0[0]:g}"
    known |= {"recipe": "", "model": "small", "hookpoint": "attn", "comparison": 1}
    known |= {"candidate_width": 128, "baseline_width": 256, "candidate_seeds": 1}
    known |= {"overlap_reason": "", f"{at}_reason": ""}
    read = {"r2": (0.8, 0.75), "dead_fraction": (0, 0.5), "loss_added": (0.3, 0.2)}
    for metric, ends in read.items():
        for side, value in zip(("candidate", "baseline"), ends, strict=True):
            known |= {f"{at}_{metric}_{side}": value, f"{at}_{metric}_{side}_se": 0.01}
    return pd.DataFrame([known, known | {"comparison": 2}])


@pytest.mark.parametrize(
    ("dominates", "gap", "better"),
    [
        (True, 0.02, "the first, at every L0"),
        (False, 0.02, "neither at every L0"),
        (False, -0.01, "the second, at every L0"),
    ],
)
def test_the_answer_says_which_side_is_better_where_and_how_surely(dominates, gap, better):
    one_seed = {"p_dominance": None, "p_reason": "Gated, H = 256 has one seed"}
    rows = compared(dominates=dominates, max_gap=gap, **one_seed)
    ((_, row),) = answer(spec(), {COMPARISON: rows}).texts.iterrows()
    assert row["Hookpoint"] == "small, attn"
    assert row["Higher R²"] == better
    assert row["R², first minus second"] == "+0.050 ± 0.014"
    assert row["R²"] == "0.800 / 0.750"
    assert row["CE loss increase (nats/token)"] == "0.300 / 0.200"
    assert row[DRAWS] == "one seed"
    unequal = rows.assign(p_reason="Gated, H = 256: not every lambda has the same seeds")
    told = answer(spec(), {COMPARISON: unequal}).texts
    assert told[DRAWS].tolist() == ["not every lambda has the same seeds"]
    sure = answer(spec(), {COMPARISON: rows.assign(p_dominance=0.9, p_reason="")}).texts
    assert sure[DRAWS].tolist() == ["0.90"]


@pytest.mark.parametrize(
    ("outcomes", "seeds", "words"),
    [
        ([(True, 0.02)], 1, ["ahead of Gated at 1 of 1", "(one seed)"]),
        ([(False, -0.01), (True, 0.02)], 3, ["at 1 of 2", "behind at 1", "(1 to 3 seeds)"]),
        ([(False, 0.01), (None, None)], 1, ["at 0 of 2", "2 are undecided"]),
    ],
)
def test_the_first_sentence_says_where_the_first_is_ahead(outcomes, seeds, words):
    rows = [compared(dominates=x, max_gap=gap, baseline_seeds=seeds) for x, gap in outcomes]
    found = headline(spec(), {COMPARISON: pd.concat(rows)})
    assert found.startswith("SA-GSAE tied, at half the width, is")
    assert all(word in found for word in words)
    assert ("behind" in found) == ("behind at 1" in words)


def test_two_sides_of_one_l0_each_are_compared_at_this_l0():
    rows = compared(dominates=None, max_gap=None, p_dominance=None, p_reason="no overlap")
    texts = answer(spec(), {COMPARISON: rows}).texts
    assert texts["Higher R²"].tolist() == ["the first, at this L0 alone"]
    assert DRAWS not in texts


def test_the_answer_has_no_place_where_a_side_was_not_trained():
    rows = compared(dominates=True, max_gap=0.02, p_dominance=0.9, p_reason="")
    lacks = rows.assign(model="large", candidate_seeds=None)
    shown = answer(spec(), {COMPARISON: pd.concat([rows, lacks])}).texts
    assert shown["Hookpoint"].tolist() == ["small, attn"]


def test_the_answer_of_a_study_that_compares_nothing_is_the_ranking():
    scope = spec(comparisons=[])
    rows = pd.DataFrame(
        {
            "model": "small",
            "hookpoint": "attn",
            "l0": [64, 64, 32],
            "rank": [1, 2, 1],
            "of": 2,
            "series": ["a", "b", "c"],
            "r2": [0.9, 0.8, 0.7],
        }
    )
    texts = answer(scope, {RANKING: rows}).texts
    nothing_compared = pd.DataFrame({"comparison": [], "candidate_seeds": []})
    first = spec().matched_levels[0]
    rows["l0"] = [first, first, first + 1]
    assert answer(spec(), {COMPARISON: nothing_compared, RANKING: rows}).texts.equals(texts)
    assert texts["Sweep"].tolist() == ["a", "b"]
    points = rows.assign(variant="gated", width=128, lam=0.1, l0=rows["l0"])
    for alone in ({}, {RANKING: rows.assign(of=1)}):
        shown = answer(scope, alone | {POINTS: points}).texts
        assert shown["R²"].tolist() == ["0.900", "0.800", "0.700"]


@pytest.mark.parametrize(
    ("recipes", "names", "first"),
    [
        (["tuned"], ["figure_2", "figure_r2@short", "figure_r2@tuned"], "figure_r2@tuned"),
        ([""], ["figure_2", "figure_r2", "figure_r2@short"], "figure_r2"),
        ([], ["figure_2", "figure_frontiers@tuned"], "figure_frontiers@tuned"),
        ([], [], ""),
    ],
)
def test_the_first_figure_is_of_the_recipe_of_the_answer(recipes, names, first):
    known = {"comparison": 1, "candidate_seeds": 1, "recipe": recipes}
    rows = {COMPARISON: pd.DataFrame(known)}
    assert first_figure(names, rows) == first


def test_claims_of_the_first_setting_have_their_verdict_first_and_their_remark_last():
    rows = pd.DataFrame(
        {
            "claim": ["c", "c"],
            "recipe": ["", "zero"],
            "statement": "s",
            "paper": "p",
            "here": ["h", "i"],
            "outcome": ["holds", "does not hold"],
            "why": ["judged on 1 of 6 pairs", ""],
        }
    )
    grid = judged(first_setting(rows), spec())
    assert grid is not None
    assert grid.texts.to_numpy().tolist() == [["holds", "s", "p", "h", "judged on 1 of 6 pairs"]]
    assert judged(rows[:0], spec()) is None
