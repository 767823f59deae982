"""Verdicts of a published study beside a study's own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.claims.page import claims
from pipeline.claims.reference import claims_file, reference_verdicts
from pipeline.text.csv_files import read_table, write_csv
from tests.pipeline.made_settings import made_settings

ROWS = pd.DataFrame(
    {
        "claim": ["dominance", "rest_gap", "dominance", "rest_gap"],
        "outcome": ["holds", "not testable", "does not hold", "not testable"],
    }
)


def published(folder: Path, **columns: list[str]) -> Path:
    tables = folder / "tables"
    tables.mkdir(exist_ok=True)
    write_csv(tables / "claims.csv", ROWS[:2])
    if columns:
        write_csv(tables / "claims_matrix.csv", ROWS.assign(**columns))
    return claims_file(folder)


def test_a_study_of_several_settings_tells_its_sentences(tmp_path):
    file = published(tmp_path, sentence=["Holds under 1 of 2 recipes.", "Not testable."] * 2)
    assert file == tmp_path / "tables" / "claims_matrix.csv"
    assert reference_verdicts(file)["dominance"] == "Holds under 1 of 2 recipes."


def test_the_matrix_of_several_settings_has_them_too(tmp_path):
    told = {claim.key: f"reference on {claim.key}" for claim in claims()}
    file = tmp_path / "claims.csv"
    write_csv(file, pd.DataFrame({"claim": list(told), "outcome": list(told.values())}))
    made = made_settings(tmp_path)
    made.tables()
    made.claims("--reference", str(file))
    matrix = read_table(made.root / "tables" / "claims_matrix.csv")
    assert set(matrix.loc[matrix["claim"] == "tied_all", "reference"]) == {"Reference on tied_all."}
    page = (made.root / "tables" / "claims.md").read_text()
    assert "Under all settings" in page
    assert page.count("Reference on tied_all.") == 1 + 7
