"""Two sweeps, or their rows of a results table, compared in one call."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import sagsae

REFERENCE = Path(__file__).parents[3] / "results" / "reference" / "local-reference"
PLACE = "model == 'smollm2-135m' and hookpoint == 'attn'"


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return sagsae.results(REFERENCE).query(PLACE)


@pytest.fixture
def candidate(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.query("variant == 'sagsae_tied' and width == 1152")


@pytest.fixture
def baseline(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.query("variant == 'gated' and width == 2304")


def test_it_says_what_the_tables_of_the_reference_study_say(candidate, baseline):
    found = sagsae.compare(candidate, baseline, matched_l0=[64])
    table = pd.read_csv(REFERENCE / "tables" / "comparison.csv")
    (row,) = table.query(
        f"{PLACE} and candidate_variant == 'sagsae_tied' and candidate_width == 1152"
        " and baseline_variant == 'gated' and baseline_width == 2304"
    ).to_dict("records")
    (matched,) = found.matched
    said = {
        "overlap_lo": found.overlap.lo,
        "overlap_hi": found.overlap.hi,
        "dominates": found.dominance.dominates,
        "min_gap": found.dominance.min_gap,
        "mean_gap": found.dominance.mean_gap,
        "min_gap_se": found.dominance.min_gap_se,
        "dead_reduction": found.dead_reduction.factor,
        "candidate_seeds": found.candidate.seeds,
        "l0_64_r2_candidate": matched.candidate.mean,
        "l0_64_r2_baseline_se": matched.baseline.se,
    }
    assert said == pytest.approx({name: row[name] for name in said}, rel=1e-11)


def test_rows_and_their_sweeps_compare_alike(candidate, baseline):
    sweeps = [sagsae.Sweep.from_rows(rows) for rows in (candidate, baseline)]
    found = sagsae.compare(*sweeps, "dead_fraction", draws=10)
    assert found == sagsae.compare(candidate, baseline, "dead_fraction", draws=10)
    assert found.candidate is sweeps[0]
    assert found.candidate.label == "sagsae_tied, H = 1152"
    assert found.matched == ()
