"""The front of the report: its sentences follow from the tables."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from pipeline.report.front import front, on_dead, on_r2
from pipeline.study.comparison_spec import ComparisonSpec
from tests.pipeline.claims.made_tables import spec as one_setting
from tests.pipeline.made_families import made_families
from tests.pipeline.made_settings import made_settings

PAIRS = [(m, h) for m in ("small", "large") for h in ("mlp_out", "attn", "resid")]


def rows(min_gap=(), dead=((0.5, 0.1),) * 6, **values):
    """Six pairs; ``dead`` is (baseline, candidate) of each."""
    gaps = list(min_gap) or [0.01] * 6
    table = pd.DataFrame(PAIRS, columns=["model", "hookpoint"]).assign(
        dominates=[gap > 0 for gap in gaps],
        min_gap=gaps,
        mean_gap=[gap + 0.01 for gap in gaps],
        dead_baseline=[full for full, _ in dead],
        dead_candidate=[half for _, half in dead],
        matched_l0=64.0,
        collapsed="",
    )
    return table.assign(**values)


def told(of, table):
    return of(table, "SA", "Gated", one_setting())


def test_r2_counts_who_dominates_keeps_up_and_falls_behind():
    assert told(on_r2, rows([0.01, 0.02, -0.01, -0.025, -0.026, -0.2])) == (
        "In R2, SA at half the width strictly dominates Gated at 2 of 6 pairs of model and "
        "hookpoint, is nowhere more than 0.025 behind at 2 more, falls further behind at 2 "
        "(smallest gap -0.200 to +0.020, mean gap -0.190 to +0.030)."
    )


def test_dead_latents_count_where_the_baseline_has_some():
    dead = [(0.0, 0.0), (0.5, 0.1), (0.4, 0.05), (0.2, 0.3), (0.1, 0.1), (None, None)]
    assert told(on_dead, rows(dead=dead)) == (
        "At L0 = 64, Gated has dead latents at 4 of 5 pairs: SA has fewer at 2 of them, and a dead "
        "fraction lower by the paper's 0.35 or more at 2 (largest drop +0.400)."
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = made_settings(tmp_path_factory.mktemp("settings"))
    made.spec["figures"] = ["figure_3", "figure_2", "figure_spec_gap", "figure_r2", "figure_11"]
    made.tables()
    made.claims()
    return made


def test_a_study_of_several_families_is_asked_for_the_best(tmp_path):
    made = made_families(tmp_path)
    made.claims()
    spec = ComparisonSpec.model_validate(made.spec)
    found = front(made.root / "tables", spec)
    assert found.question == (
        "Which of these autoencoders explains the most, and does a second side pay?"
    )
    assert found.figures == ("figure_frontiers@matched", "figure_frontiers@paper")
    matched, paper, r2, claims = found.answer
    # Two sides lead at three pairs and are last at the fourth.
    assert matched.startswith("At L0 = 48, recipe matched: ")
    best = re.search(r": (\w+), H = .* has the best mean rank by R2, 1\.8 of 6, over 4", matched)
    assert best
    assert best[1] in ("BatchTopK", "AbsBatchTopK")
    assert "0 are above the one-sided form in R2 at every pair, and 0 are at none." in matched
    assert paper.startswith("At L0 = 48, recipe paper: ")
    assert "SA-GSAE tied at half the width strictly dominates Gated at 3 of 4 pairs" in r2
    assert claims.startswith("Of 23 claims of the paper, ")
